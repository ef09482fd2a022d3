import { de } from './translations/de.ts'
import { en } from './translations/en.ts'
import { es } from './translations/es.ts'
import { fr } from './translations/fr.ts'
import { nl } from './translations/nl.ts'
import { PAGE_ERRORS } from './translations/translation.ts'
import type { PageError, TextKey, Translation } from './translations/translation.ts'
import { relativeTime, relativeTimeText } from './time.ts'
import type { Moment } from './time.ts'

/** The languages of the pages that users see; the dashboard is in English. */
export const LANGUAGES = ['en', 'nl', 'de', 'fr', 'es'] as const
export type Language = (typeof LANGUAGES)[number]

/** What a text has a place for: plain text, or a time. */
type Value = string | Moment

type Placeholders<Text> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never
type Values<Key extends TextKey> = [Placeholders<(typeof en)[Key]>] extends [never]
  ? []
  : [values: Record<Placeholders<(typeof en)[Key]>, Value>]

/** The texts of one language. */
export interface Translator {
  /** A language tag (RFC 5646). */
  language(): Language
  /** A text without its markup, to be output with `<%=`. */
  text<Key extends TextKey>(key: Key, ...values: Values<Key>): string
  /** A text as markup, to be output with `<%~`. Values are escaped, and isolated from the text's direction. */
  markup<Key extends TextKey>(key: Key, ...values: Values<Key>): string
  /** The message of an error by its reason in the log; `null`: not translated. */
  errorText(reason: string | undefined): string | null
  /** Such as "90 days". */
  amount(count: number, unit: 'second' | 'minute' | 'hour' | 'day'): string
  /** Such as "3 minutes ago". */
  minutesAgo(minutes: number): string
}

const TRANSLATIONS: Record<Exclude<Language, 'en'>, Translation> = { nl, de, fr, es }

/** Reasons that users need not tell apart. */
const SAME_ERRORS: Record<string, PageError> = {
  flow_cookie_foreign: 'flow_unknown',
  pushed_request_unknown: 'flow_unknown',
}

/** Code, emphasis, a link, or a value. */
const MARKS = /`([^`]*)`|\*([^*]*)\*|\[([^\]]*)\]\(\{(\w+)\}\)|\{(\w+)\}/g

function createTranslator(language: Language): Translator {
  const texts: Record<TextKey, string> = language === 'en' ? en : TRANSLATIONS[language].texts
  const locale = language === 'en' ? 'en-GB' : language

  const render = (text: string, values: Record<string, Value>, isCode = false): string => {
    let markup = ''
    let end = 0
    for (const { 0: all, index, ...groups } of text.matchAll(MARKS)) {
      const [code, strong, label, href = '', name = ''] = [1, 2, 3, 4, 5].map((at) => groups[at])
      const target = values[href]
      markup += escape(text.slice(end, index))
      end = index + all.length
      if (code !== undefined) markup += `<code>${render(code, values, true)}</code>`
      else if (strong !== undefined) markup += `<strong>${render(strong, values)}</strong>`
      else if (label !== undefined)
        markup += linkMarkup(label, typeof target === 'string' ? target : '')
      else markup += valueMarkup(values[name] ?? '', isCode)
    }
    return markup + escape(text.slice(end))
  }

  const valueMarkup = (value: Value, isCode: boolean): string => {
    if (typeof value !== 'string') return relativeTime(value, locale)
    return isCode ? escape(value) : `<bdi>${escape(value)}</bdi>`
  }

  const plain = (text: string, values: Record<string, Value>): string => {
    const valueOf = (name = ''): string => {
      const value = values[name] ?? ''
      return typeof value === 'string' ? value : relativeTimeText(value, locale)
    }
    return text.replace(MARKS, (_all, ...groups: (string | undefined)[]) => {
      const [code, strong, label, , name] = groups
      const inner = code ?? strong ?? label
      return inner === undefined ? valueOf(name) : plain(inner, values)
    })
  }

  return {
    language: () => language,
    text: (key, ...[values]) => plain(texts[key], values ?? {}),
    markup: (key, ...[values]) => render(texts[key], values ?? {}),
    errorText(reason = '') {
      if (language === 'en') return null
      const key = PAGE_ERRORS.find((one) => one === (SAME_ERRORS[reason] ?? reason))
      return key === undefined ? null : TRANSLATIONS[language].errors[key]
    },
    // Not `Intl.NumberFormat`: its first use reads 5 to 16 MiB of locale data, which a connect needs for nothing else.
    amount(count, unit) {
      const [one = '', others = ''] = texts[`amount.${unit}`].split(' | ')
      return count === 1 ? one : others.replace('{count}', String(count))
    },
    minutesAgo: (minutes) => new Intl.RelativeTimeFormat(locale).format(-minutes, 'minute'),
  }
}

/** A link to another site opens in a tab of its own: the page may have a form that is still needed. */
function linkMarkup(label: string, href: string): string {
  const target = href.startsWith('http') ? ' target="_blank" rel="noopener"' : ''
  return `<a href="${escape(href)}"${target}>${escape(label)}</a>`
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const escape = (text: string): string => text.replace(/[&<>"']/g, (one) => ENTITIES[one] ?? one)

/** By language. */
export const translators = Object.fromEntries(
  LANGUAGES.map((language) => [language, createTranslator(language)]),
) as Record<Language, Translator>
