import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { LANGUAGES, translators } from '../../views/translate.ts'
import { de } from '../../views/translations/de.ts'
import { en } from '../../views/translations/en.ts'
import { es } from '../../views/translations/es.ts'
import { fr } from '../../views/translations/fr.ts'
import { nl } from '../../views/translations/nl.ts'
import { PAGE_ERRORS } from '../../views/translations/translation.ts'

const root = join(import.meta.dirname, '../..')
const read = (pattern: string) =>
  globSync(pattern, { cwd: root })
    .filter((path) => !path.includes('translations'))
    .map((path) => readFileSync(join(root, path), 'utf8'))
    .join('\n')

const translations = { nl, de, fr, es }
/** Texts that are the same in several languages. */
const SAME = ['Code', 'Links', '{app} verbinden', '{browser} on {system}', 'API reference']

/** What a text may contain besides words: values, and marks that come in pairs. */
const marksOf = (text: string): string[] =>
  [...text.matchAll(/\{\w+\}|[*`]|\]\(/g)].map(String).sort()

t.test('each language has every text and error, and no other', async (t) => {
  const keys = Object.keys(en)
  for (const [language, { texts, errors }] of Object.entries(translations)) {
    t.strictSame(Object.keys(texts).sort(), [...keys].sort(), language)
    t.strictSame(Object.keys(errors).sort(), [...PAGE_ERRORS].sort(), language)
    for (const [key, text] of Object.entries(texts)) {
      const english = en[key as keyof typeof en]
      t.strictSame(marksOf(text), marksOf(english), `${language} ${key}`)
      t.ok(text !== english || SAME.includes(text), `${language} ${key} is translated`)
      t.equal(text, text.trim(), `${language} ${key}`)
    }
  }
})

t.test('every text is used, and every translated error exists', async (t) => {
  const sources = read('{server,views}/**/*.{ts,eta}')
  for (const key of Object.keys(en).filter((one) => !one.startsWith('amount.')))
    t.ok(sources.includes(`'${key}'`), key)
  for (const reason of PAGE_ERRORS) t.ok(sources.includes(`'${reason}'`), reason)
})

t.test('values are escaped, isolated and formatted in the language', async (t) => {
  const { markup, text } = translators.en
  const app = '<b>&"\''
  t.equal(
    markup('refused.denied', { app }),
    'You denied access, so <strong><bdi>&lt;b&gt;&amp;&quot;&#39;</bdi></strong> cannot use your Ellipsis Drive.',
  )
  t.equal(text('consent.title', { app }), `Connect ${app}`)
  t.equal(
    markup('home.me', { url: '/me?a&b' }),
    'See which apps use your Ellipsis Drive, and disconnect them: <a href="/me?a&amp;b">Your connections</a>',
  )
  t.match(markup('device.onlyYou', { code: 'A*{x}' }), '<code>A*{x}</code>', 'values are no markup')
  const at = Date.UTC(2026, 10, 30, 22, 40)
  const time = { at, now: at - 49 * 3_600_000 }
  t.equal(
    markup('me.linkEnds', { time }),
    'Expires <time datetime="2026-11-30T22:40:00.000Z" title="30 Nov 2026, 22:40 UTC">in\u00a02\u00a0days</time>',
  )
  const examples = LANGUAGES.map((language) => {
    const { text, amount, minutesAgo } = translators[language]
    const used = text('me.used', { time: { at, now: at + 3_600_000 } })
    return [
      text('me.linkEnds', { time }),
      used,
      amount(90, 'day'),
      amount(1, 'hour'),
      minutesAgo(3),
    ]
  })
  t.strictSame(examples, [
    ['Expires in 2 days', 'Last used 1 hour ago', '90 days', '1 hour', '3 minutes ago'],
    [
      'Verloopt over 2 dagen',
      'Laatst gebruikt 1 uur geleden',
      '90 dagen',
      '1 uur',
      '3 minuten geleden',
    ],
    ['Läuft ab in 2 Tagen', 'Zuletzt genutzt vor 1 Stunde', '90 Tage', '1 Stunde', 'vor 3 Minuten'],
    [
      'Expire dans 2 jours',
      'Dernière utilisation il y a 1 heure',
      '90\u00a0jours',
      '1\u00a0heure',
      'il y a 3 minutes',
    ],
    ['Caduca dentro de 2 días', 'Último uso hace 1 hora', '90 días', '1 hora', 'hace 3 minutos'],
  ])
  const plainSpaces = (text: string) => text.replaceAll('\u00a0', ' ')
  for (const language of LANGUAGES) {
    const { amount } = translators[language]
    for (const unit of ['second', 'minute', 'hour', 'day'] as const) {
      const format = new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long' })
      for (const count of [1, 2, 7, 30, 90, 365])
        t.equal(plainSpaces(amount(count, unit)), plainSpaces(format.format(count)))
    }
  }
  const { text: german } = translators.de
  t.equal(german('me.used', { time: { at, now: at + 59_999 } }), 'Zuletzt genutzt jetzt')
})
