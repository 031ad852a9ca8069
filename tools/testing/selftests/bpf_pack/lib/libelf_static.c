// SPDX-License-Identifier: GPL-2.0
/*
 * Debian's static libelf calls these two functions of elfutils' internal library and
 * does not contain them. They begin and end an index that only elf_getdata_rawchunk()
 * fills. Nobody here calls that function, so that the index is empty and they have
 * nothing to do. (Whoever links it in gets an error: it needs more of that library.)
 */
void eu_search_tree_init(void *tree);
void eu_search_tree_fini(void *tree, void (*free_node)(void *node));

__attribute__((weak)) void eu_search_tree_init(void *tree)
{
}

__attribute__((weak)) void eu_search_tree_fini(void *tree, void (*free_node)(void *node))
{
}
