import type { Random } from '../runtime.ts'

/**
 * User codes (RFC 8628 6.1): eight of twenty consonants, which spell no words and are not confused with each
 * other or with digits. 34.5 bits: with at most ten wrong codes per minute and address, and 5,000 waiting codes
 * (the most there can be), an address has a chance of one in 34,000 to guess one within fifteen minutes. A correct guess
 * only connects another person's device to the guesser's own account.
 */
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ'
const LENGTH_CHARS = 8

/** A new code: only the letters, without the dash. */
export function newUserCode(random: Random): string {
  // 240 is the largest multiple of 20 in a byte, so each letter is equally likely.
  const letters: string[] = []
  while (letters.length < LENGTH_CHARS) {
    for (const byte of random(LENGTH_CHARS)) {
      if (byte < 240) letters.push(LETTERS.charAt(byte % LETTERS.length))
    }
  }
  return letters.slice(0, LENGTH_CHARS).join('')
}

/** The letters of a typed code, whatever its case, spaces and dashes; empty if it is not a code. */
export function readUserCode(typed: string): string {
  const letters = typed.toUpperCase().replace(/[\s\p{P}]/gu, '')
  const isValid =
    letters.length === LENGTH_CHARS && [...letters].every((letter) => LETTERS.includes(letter))
  return isValid ? letters : ''
}

/** Formats a code for people: `WDJB-MJHT`. */
export const formatUserCode = (letters: string): string =>
  letters === '' ? '' : `${letters.slice(0, LENGTH_CHARS / 2)}-${letters.slice(LENGTH_CHARS / 2)}`
