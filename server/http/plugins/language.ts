import { LANGUAGES } from '../../../views/translate.ts'
import type { Language } from '../../../views/translate.ts'

/** Longer lists are no preferences of a person. */
const MAX_LIST_LENGTH_CHARS = 1000

/**
 * Finds the language for an `Accept-Language` header (RFC 9110 12.5.4), by lookup (RFC 4647 3.4): `de-AT` accepts
 * German. Without an acceptable language, it is English.
 */
export function negotiateLanguage(header = ''): Language {
  const ranges = header
    .slice(0, MAX_LIST_LENGTH_CHARS)
    .split(',')
    .flatMap((part) => readRange(part))
  // The sort is stable: of equal weights, the first range counts.
  const wanted = ranges.filter(({ weight }) => weight > 0).sort((a, b) => b.weight - a.weight)
  const refused = ranges.filter(({ weight }) => weight === 0).map(({ tag }) => tag)
  for (const { tag } of wanted) {
    const language =
      tag === '*' ? LANGUAGES.find((one) => !refused.includes(one)) : lookUp(tag, refused)
    if (language) return language
  }
  return 'en'
}

/** The language of `ui_locales` (OpenID Connect Core 3.1.2.1): tags in order of preference. `null`: none of them. */
export function languageOfLocales(locales: string): Language | null {
  const tags = locales.slice(0, MAX_LIST_LENGTH_CHARS).toLowerCase().split(' ')
  for (const tag of tags) {
    const language = lookUp(tag)
    if (language) return language
  }
  return null
}

function readRange(part: string): { tag: string; weight: number }[] {
  const [, tag, weight = '1'] =
    /^\s*([a-z]{1,8}(?:-[a-z0-9]{1,8})*|\*)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?$/i.exec(part) ?? []
  return tag === undefined ? [] : [{ tag: tag.toLowerCase(), weight: Math.min(1, Number(weight)) }]
}

/** The language of a tag: its first part, as none of the translations is for one region. */
const lookUp = (tag: string, refused: string[] = []): Language | undefined =>
  LANGUAGES.find((language) => language === tag.split('-')[0] && !refused.includes(language))
