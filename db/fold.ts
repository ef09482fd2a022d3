const MAX_KEY_LENGTH_CHARS = 200

/** Letters that Unicode does not decompose, and how people without such a keyboard type them. */
const LETTERS: Record<string, string> = {
  ...{ ß: 'ss', æ: 'ae', œ: 'oe', ø: 'o', ł: 'l', đ: 'd', ð: 'd', þ: 'th', ħ: 'h', ı: 'i', ȷ: 'j' },
  ...{ ŋ: 'n', ŧ: 't', ĸ: 'k', ə: 'e', ɓ: 'b', ɗ: 'd', ƙ: 'k', ƴ: 'y', ɛ: 'e', ɔ: 'o', ɨ: 'i' },
  ...{ ƀ: 'b', ʉ: 'u', ɖ: 'd', ƒ: 'f', ɣ: 'g', ǝ: 'e', ς: 'σ' },
  // Arabic and Persian keyboards have different letters for the same.
  ...{ ي: 'ی', ى: 'ی', ك: 'ک', ة: 'ه', ـ: '' },
}
const letters = new RegExp(`[${Object.keys(LETTERS).join('')}]`, 'gu')

/** Apostrophes, straight or typographic, primes, and letters such as the ʻokina; accents that stand alone. */
const APOSTROPHES = /['’‘‛`´′‵ʹʻʼʽʾʿˈˊˋ՚׳＇ꞌ]/gu
const DOUBLE_QUOTES = /[“”„‟«»″〝〞״]/gu
const DASHES = /[\p{Pd}\u2212]/gu
/** Accents and points, but not the vowel signs of scripts that spell with them, nor Japanese voicing marks. */
const ACCENTS =
  /(?![\u3099\u309a])[[\p{M}&&[\p{sc=Zinh}\p{sc=Latn}\p{sc=Grek}\p{sc=Cyrl}\p{sc=Arab}\p{sc=Hebr}\p{sc=Syrc}]]\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gv

/**
 * The key that a name is searched and sorted by: without case, accents, apostrophes and invisible marks. So
 * "elo" finds "Élodie", "strasse" finds "Straße", "lodz" finds "Łódź", and "obrien" finds "O’Brien".
 */
export const fold = (name: string): string => {
  const plain = name
    .toWellFormed()
    .replace(APOSTROPHES, '')
    .normalize('NFKD')
    .replace(APOSTROPHES, '')
    .replace(ACCENTS, '')
    .toLowerCase()
    .replace(letters, (letter) => LETTERS[letter] ?? letter)
    .replace(DOUBLE_QUOTES, '"')
    .replace(DASHES, '-')
    .replace(/\s+/gu, ' ')
    .trim()
  return [...plain].slice(0, MAX_KEY_LENGTH_CHARS).join('').trim()
}
