import type { Random } from '../runtime.ts'

/**
 * User codes (RFC 8628 6.1): eight of twenty consonants, which spell no words and of which none looks like
 * another or like a digit. 34.5 bits: with the limit of ten wrong ones a minute from an address, and a
 * hundred codes waiting, an address has one chance in 1.7 million to meet one in its fifteen minutes. And all
 * that it could do is to let somebody else's device into its own account.
 */
const ALPHABET = 'BCDFGHJKLMNPQRSTVWXZ'
const LENGTH = 8

/** A new code: its letters, without the dash that people see. */
export function newUserCode(random: Random): string {
  // 240 is the largest multiple of 20 in a byte: each letter is equally likely.
  const letters: string[] = []
  while (letters.length < LENGTH) {
    for (const byte of random(LENGTH)) {
      if (byte < 240) letters.push(ALPHABET.charAt(byte % ALPHABET.length))
    }
  }
  return letters.slice(0, LENGTH).join('')
}

/** The letters of what a person typed: case, spaces and dashes don't matter. Empty: it can't be a code. */
export function readUserCode(typed: string): string {
  const letters = typed.toUpperCase().replace(/[\s\p{P}]/gu, '')
  const valid =
    letters.length === LENGTH && [...letters].every((letter) => ALPHABET.includes(letter))
  return valid ? letters : ''
}

/** A code as people see it: `WDJB-MJHT`. */
export const showUserCode = (letters: string): string =>
  letters === '' ? '' : `${letters.slice(0, LENGTH / 2)}-${letters.slice(LENGTH / 2)}`
