import { Secret } from '../secret.ts'
import { type Parse, Wrong } from './parse.ts'
import type { Problem } from './problems.ts'
import { type SettingName, table } from './settings.ts'

/** Names of settings that have a default. */
type Defaulted = {
  [Name in SettingName]: (typeof table)[Name]['default'] extends string ? Name : never
}[SettingName]

/** Reads a file's text. Throws as node:fs does. */
export type ReadFile = (path: string) => string

export type Reader = ReturnType<typeof createReader>

/** Reads settings out of an environment, and collects what is wrong with them instead of throwing. */
export function createReader(env: NodeJS.ProcessEnv, readFile: ReadFile) {
  const problems: Problem[] = []

  const report = (name: SettingName, wrong: string, mend: string = table[name].where): void => {
    problems.push({ name, wrong, mend })
  }

  /** Its text, trimmed; `null`: not set, or set to nothing. */
  function find(name: SettingName): string | null {
    const value = env[name]?.trim() || null
    const path = (table[name].secret && env[`${name}_FILE`]?.trim()) || null
    if (path === null) return value
    if (value === null) return fromFile(name, path)
    report(name, `and ${name}_FILE are both set.`, 'Set one of them.')
    return null
  }

  function fromFile(name: SettingName, path: string): string | null {
    try {
      const value = readFile(path).trim()
      if (value !== '') return value
      report(name, `is to be read from ${path}, which is empty.`)
    } catch (error) {
      const { code = 'unknown error' } = error as NodeJS.ErrnoException
      report(name, `is to be read from ${path}, which can't be read (${code}).`)
    }
    return null
  }

  /** Its value; `null`: not set, or wrong. */
  function optional<T>(name: SettingName, parse: Parse<T>): T | null {
    const found = find(name)
    try {
      return found === null ? null : parse(found)
    } catch (error) {
      if (error instanceof Wrong) report(name, error.message)
      else throw error
      return null
    }
  }

  return {
    problems,
    report,
    optional,
    /** Its value, or its default. */
    value: <T>(name: Defaulted, parse: Parse<T>): T =>
      optional(name, parse) ?? parse(table[name].default),
    /** Its value, wrapped at once. */
    secret: (name: SettingName, parse: Parse<string>): Secret | null =>
      optional(name, (text) => new Secret(parse(text))),
    isSet: (name: SettingName): boolean =>
      [name, `${name}_FILE`].some((key) => (env[key]?.trim() ?? '') !== ''),
  }
}
