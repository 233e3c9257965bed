/** Whether labels are those of a selector by equality, as in `a=b,c=d`; an empty one selects all. */
export function isSelected(labels: unknown, selector: string): boolean {
  const found = (labels ?? {}) as Readonly<Record<string, unknown>>
  const wanted = selector.split(',').filter((each) => each !== '')
  return wanted.every((each) => {
    const [name = '', value] = each.split('=')
    return found[name] === value
  })
}

/** Whether a watch of `path` sees the collection at `at`: its own, or all namespaces'. */
export function covers(path: string, at: string): boolean {
  return path === at || path === at.replace(/namespaces\/[^/]+\//, '')
}
