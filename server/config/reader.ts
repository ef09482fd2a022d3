import { Secret } from '../secret.ts'
import { ENCODING_FIX, EncodingError } from '../text-encoding.ts'
import { InvalidValue, type Parse } from './parse.ts'
import { type SettingName, table } from './settings.ts'

/** A setting that is missing or invalid. */
interface Problem {
  name: string
  /** The end of a sentence that begins with the name. Never contains a secret. */
  problem: string
  /** What to set, and where to find it. */
  fix: string
}

/** Settings are missing or invalid. The message lists every problem with its fix. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly problems: readonly Problem[]

  /** @param whereToSet where to set missing settings; empty: the problem is the settings file itself */
  constructor(problems: readonly Problem[], whereToSet: string) {
    super(describe(problems, whereToSet))
    this.problems = problems
  }
}

function describe(problems: readonly Problem[], whereToSet: string): string {
  const count = problems.length
  const title = `${count === 1 ? '1 setting is' : `${count} settings are`} missing or invalid:`
  const list = problems.map(({ name, problem, fix }) => `${name} ${problem}\n  ${fix}`)
  return (whereToSet === '' ? list : [title, ...list, whereToSet]).join('\n\n')
}

/** The only secret that may itself have quotation marks around it. */
const FREE_TEXT_SECRET: SettingName = 'ELLIPSIS_CLIENT_SECRET'
const IN_A_FILE = `write the value to a file and set ${FREE_TEXT_SECRET}_FILE to its path.`

/** The text without quotation marks around all of it, which some readers of settings keep. */
const unquote = (text: string): string =>
  /^(["'`])((?:(?!\1).)*)\1$|^“([^”]*)”$|^‘([^’]*)’$/s
    .exec(text)
    ?.slice(2)
    .find((inner) => inner !== undefined)
    ?.trim() ?? text

/** Names of settings with a default. */
type NameWithDefault = {
  [Name in SettingName]: (typeof table)[Name]['default'] extends string ? Name : never
}[SettingName]

/** Reads a text file. @throws as node:fs does */
export type ReadFile = (path: string) => string

export type Reader = ReturnType<typeof createReader>

/** Reads settings from an environment. Collects problems instead of throwing them. */
export function createReader(env: NodeJS.ProcessEnv, readFile: ReadFile) {
  const problems: Problem[] = []

  const report = (name: SettingName, problem: string, fix: string = table[name].where): void => {
    problems.push({ name, problem, fix })
  }

  /** Trimmed text of a setting; `null` if not set or empty. */
  function readText(name: SettingName): string | null {
    const value = readVariable(name)
    const path = table[name].secret ? readVariable(`${name}_FILE`) : null
    if (path === null) return value === null ? null : checkVariable(name, value)
    if (value === null) return readFromFile(name, path)
    report(name, `and ${name}_FILE are both set.`, 'Set only one of them.')
    return null
  }

  /** Trimmed text without quotation marks around it; `null` if not set or empty. */
  function readVariable(variable: string): string | null {
    const value = env[variable]?.trim() ?? ''
    const unquoted = unquote(value)
    if (unquoted === '') return null
    return variable === FREE_TEXT_SECRET ? value : unquoted
  }

  /** Reports what a reader of files left in the value that is not part of it. */
  function checkVariable(name: SettingName, value: string): string | null {
    const elsewhere = name === FREE_TEXT_SECRET ? ` If it is part of the value, ${IN_A_FILE}` : ''
    if (unquote(value) !== value) {
      report(
        name,
        'begins and ends with a quotation mark.',
        `Remove it: \`docker --env-file\` and Kubernetes make it part of the value.${elsewhere}`,
      )
    } else if (/\s#/.test(value) && name !== 'BROKER_NAME') {
      report(
        name,
        'contains a space and #, which looks like a comment.',
        `Write the comment on a line of its own.${elsewhere}`,
      )
    } else return checkText(name, value)
    return null
  }

  /** Reports characters that no value has. */
  function checkText(name: SettingName, value: string): string | null {
    if (value.includes('\uFFFD')) report(name, 'is not in UTF-8.', 'Set it in UTF-8.')
    else if (/[\r\n]/.test(value) && name !== 'BROKER_SECRETS') {
      report(name, 'has more than one line.')
    } else return value
    return null
  }

  function readFromFile(name: SettingName, path: string): string | null {
    try {
      const text = readFile(path).trim()
      const value = name === FREE_TEXT_SECRET ? text : unquote(text)
      if (value !== '') return checkText(name, value)
      report(name, `cannot be read: ${path} is empty.`)
    } catch (error) {
      if (error instanceof EncodingError) {
        report(name, `cannot be read: ${path} ${error.message}`, ENCODING_FIX)
        return null
      }
      const { code = 'unknown error' } = error as NodeJS.ErrnoException
      report(name, `cannot be read from ${path} (${code}).`)
    }
    return null
  }

  /** The value; `null` if not set or invalid. */
  function optional<T>(name: SettingName, parse: Parse<T>): T | null {
    const text = readText(name)
    try {
      return text === null ? null : parse(text)
    } catch (error) {
      if (error instanceof InvalidValue) report(name, error.message)
      else throw error
      return null
    }
  }

  return {
    problems,
    report,
    optional,
    /** The value, or the default. */
    value: <T>(name: NameWithDefault, parse: Parse<T>): T =>
      optional(name, parse) ?? parse(table[name].default),
    /** The value as a `Secret`; `null` if not set or invalid. */
    secret: (name: SettingName, parse: Parse<string>): Secret | null =>
      optional(name, (text) => new Secret(parse(text))),
    isSet: (name: SettingName): boolean =>
      [name, `${name}_FILE`].some((variable) => readVariable(variable) !== null),
  }
}
