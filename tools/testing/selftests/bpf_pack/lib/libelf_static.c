// SPDX-License-Identifier: GPL-2.0
/*
 * Debian's static libelf calls two functions of elfutils' internal library and
 * does not contain them. They begin and end an index of raw chunks, which only
 * elf_getdata_rawchunk() fills: were that linked in, its own missing functions
 * would end the link. So the index is always empty: nothing to do.
 */
void eu_search_tree_init(void *tree);
void eu_search_tree_fini(void *tree, void (*free_node)(void *node));

__attribute__((weak)) void eu_search_tree_init(void *tree)
{
}

__attribute__((weak)) void eu_search_tree_fini(void *tree, void (*free_node)(void *node))
{
}
