/**
 * Removes from a list what is not needed for a failure: first large parts, then small ones. `fast-check` does it too,
 * but takes minutes for a history of hundreds of steps.
 */
export async function shrink<T>(list: T[], fails: (list: T[]) => Promise<boolean>): Promise<T[]> {
  let smallest = list
  for (let size = Math.ceil(list.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let end = smallest.length; end > 0; end -= size) {
      const shorter = smallest.toSpliced(Math.max(0, end - size), size)
      if (await fails(shorter)) smallest = shorter
    }
  }
  return smallest
}
