const MAX_KEY_LENGTH_CHARS = 200

/**
 * The key that a name is searched and sorted by: without case, accents and invisible marks. So "élo" finds
 * "Élodie", and a name with right-to-left marks is found by its letters.
 */
export const fold = (name: string): string =>
  name
    .normalize('NFKD')
    .replace(/[\p{M}\p{Cf}\p{Cc}]/gu, '')
    .toLowerCase()
    .trim()
    .slice(0, MAX_KEY_LENGTH_CHARS)
