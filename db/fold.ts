/** Longest key that is kept of a name, characters. */
const LONGEST = 200

/**
 * A name as it is searched and sorted: without case, accents, and marks that can't be seen, so that
 * "élo" finds "Élodie" and a name with right-to-left marks in it is found by its letters.
 */
export const fold = (name: string): string =>
  name
    .normalize('NFKD')
    .replace(/[\p{M}\p{Cf}\p{Cc}]/gu, '')
    .toLowerCase()
    .trim()
    .slice(0, LONGEST)
