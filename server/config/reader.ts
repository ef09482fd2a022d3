import { Secret } from '../secret.ts'
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

  constructor(problems: readonly Problem[]) {
    super(describe(problems))
    this.problems = problems
  }
}

function describe(problems: readonly Problem[]): string {
  const count = problems.length
  const title = `${count === 1 ? '1 setting is' : `${count} settings are`} missing or invalid:`
  const list = problems.map(({ name, problem, fix }) => `${name} ${problem}\n  ${fix}`)
  const end =
    'Set them in the environment or in .env. `ellipsis-broker init` asks for them and writes .env.'
  return [title, ...list, end].join('\n\n')
}

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
    const value = env[name]?.trim() || null
    const path = (table[name].secret && env[`${name}_FILE`]?.trim()) || null
    if (path === null) return value
    if (value === null) return readFromFile(name, path)
    report(name, `and ${name}_FILE are both set.`, 'Set only one of them.')
    return null
  }

  function readFromFile(name: SettingName, path: string): string | null {
    try {
      const value = readFile(path).trim()
      if (value !== '') return value
      report(name, `cannot be read: ${path} is empty.`)
    } catch (error) {
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
      [name, `${name}_FILE`].some((key) => (env[key]?.trim() ?? '') !== ''),
  }
}
