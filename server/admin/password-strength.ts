import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { normalizePassword } from './password.ts'

/** NIST SP 800-63B-4 3.1.1.2: a minimum length, and no composition rules. */
const MIN_PASSWORD_LENGTH_CHARS = 12
const MAX_PASSWORD_LENGTH_CHARS = 1024
/** Of a longer password only the beginning is rated, which takes milliseconds instead of a second. */
const MAX_RATED_LENGTH_CHARS = 64
/** zxcvbn's scores go from 0 to 4. From 3 on, a password takes more than a hundred million guesses. */
const MIN_SCORE = 3
/** Shorter words are in any password by chance. */
const MIN_WORD_LENGTH_CHARS = 3
/** Letters and digits that a password has beside the words of its account. */
const MIN_OWN_LENGTH_CHARS = 8
/** Words that anyone tries at this program. */
const PROGRAM_WORDS = ['ellipsis', 'drive', 'broker', 'admin', 'dashboard']

/**
 * Checks a new password: its length, and that it is neither common nor made of names that anyone would try (NIST
 * SP 800-63B-4 3.1.1.2). Loads the list of common passwords, some 20 MB of memory; nothing else does.
 * @param names such as the account's e-mail address and the host's name
 * @throws BrokerError `invalid_request` that says why it is refused
 */
export async function checkNewPassword(password: Secret, names: string[]): Promise<void> {
  const text = normalizePassword(password).reveal()
  const characters = Array.from(text)
  if (
    characters.length < MIN_PASSWORD_LENGTH_CHARS ||
    characters.length > MAX_PASSWORD_LENGTH_CHARS
  ) {
    throw refusal(
      `Choose a password of ${MIN_PASSWORD_LENGTH_CHARS} to ${MAX_PASSWORD_LENGTH_CHARS} characters.`,
    )
  }
  const rated = characters.slice(0, MAX_RATED_LENGTH_CHARS).join('')
  const reason = await findWeakness(rated, names)
  if (reason === null) return
  throw refusal(
    `This password is easy to guess: ${reason}. Choose another one; several random words are best.`,
  )
}

/** Why a password is easy to guess, as the end of a sentence; `null`: it is not. */
async function findWeakness(text: string, names: string[]): Promise<string | null> {
  const words = [...names.flatMap(wordsOf), ...PROGRAM_WORDS]
  if (isMadeOf(words, text)) return MADE_OF_NAMES
  const [{ ZxcvbnFactory }, { dictionary, adjacencyGraphs }] = await Promise.all([
    import('@zxcvbn-ts/core'),
    import('@zxcvbn-ts/language-common'),
  ])
  const { score, feedback } = new ZxcvbnFactory({ dictionary, graphs: adjacencyGraphs }).check(
    text,
    words,
  )
  if (score >= MIN_SCORE) return null
  return REASONS[feedback.warning ?? ''] ?? 'it is too simple'
}

/** Is little left of the text without these words? */
function isMadeOf(words: string[], text: string): boolean {
  const lower = text.toLowerCase()
  const rest = words
    .filter((word) => word.length >= MIN_WORD_LENGTH_CHARS)
    .toSorted((one, other) => other.length - one.length)
    .reduce((left, word) => left.replaceAll(word.toLowerCase(), ' '), lower)
  return rest !== lower && rest.replace(/[^\p{L}\p{N}]/gu, '').length < MIN_OWN_LENGTH_CHARS
}

/** A name, the parts of an address, and the words in them. */
const wordsOf = (name: string): string[] => [
  name,
  ...name.split('@'),
  ...name.split(/[^\p{L}\p{N}]+/u),
]

const MADE_OF_NAMES = 'it is made of your e-mail address, this program’s name or its host’s name'

/** By zxcvbn's warnings. */
const REASONS: Record<string, string> = {
  topTen: 'it is one of the most common passwords',
  topHundred: 'it is one of the most common passwords',
  common: 'it is a common password',
  similarToCommon: 'it is similar to a common password',
  pwned: 'it is a common password',
  userInputs: MADE_OF_NAMES,
  wordByItself: 'it is a single word',
  namesByThemselves: 'it is a name',
  commonNames: 'it is a name',
  straightRow: 'it follows a row of the keyboard',
  keyPattern: 'it follows a pattern of the keyboard',
  simpleRepeat: 'it repeats one character',
  extendedRepeat: 'it repeats a pattern',
  sequences: 'it is a sequence such as abc or 123',
  recentYears: 'it is a year',
  dates: 'it is a date',
}

const refusal = (description: string): BrokerError =>
  new BrokerError('invalid_request', { description })
