import fc from 'fast-check'
import t from 'tap'
import {
  normalizeEmail,
  replaceInvisible,
  visibleStart,
  visibleText,
} from '../server/visible-text.ts'
import { size } from './size.ts'

const numRuns = Number(process.env.RUNS ?? size(300, 5000))

t.test('names keep the joiners that their script or emoji needs', async (t) => {
  const names = [
    ...['می‌خواهم', 'علی‌رضا', 'क्‍ष', 'क्‌ष', 'ක්‍රිෂ්', 'র‍্যাব', 'മോഹന്‍', 'ᠮᠣᠩᠭᠣᠯ᠋'],
    ...['👩‍👩‍👧‍👦', '🏳️‍🌈', '👩🏽‍🚒', '❤️‍🔥', '🧑🏻‍❤️‍💋‍🧑🏿', '1️⃣', '☎︎', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '🏴󠁧󠁢󠁷󠁬󠁳󠁿', '🇳🇱'],
    ...['葛󠄀城', '渡邉󠄂', 'Zoë', 'Élodie', 'עדה', 'ﷺ', '字', 'O’Brien', 'Map 2'],
  ]
  for (const name of names) t.equal(visibleText(name), name, name)
})

t.test('invisible tricks and changes of direction go', async (t) => {
  const tricks: [string, string][] = [
    ...[
      '\u200b',
      '\u200c',
      '\u200d',
      '\u2060',
      '\ufeff',
      '\u00ad',
      '\u034f',
      '\u3164',
      '\u2800',
    ].map((trick): [string, string] => [`pay${trick}pal`, 'paypal']),
    ...[
      '\u202a',
      '\u202d',
      '\u202e',
      '\u2066',
      '\u2068',
      '\u2069',
      '\u200e',
      '\u200f',
      '\u061c',
    ].map((trick): [string, string] => [`pay${trick}pal`, 'paypal']),
    ...[
      '\0',
      '\u001b',
      '\u007f',
      '\u0085',
      '\u2028',
      '\u2029',
      '\u{e0041}',
      '\ud800',
      '\ue000',
    ].map((trick): [string, string] => [`pay${trick}pal`, 'paypal']),
    ['a\ufe0f\u{e0100}b', 'ab'],
    ['1\ufe0f', '1'],
    ['😀\u200d', '😀'],
    ['😀\u200d\u200d😀', '😀😀'],
    ['🏴\u{e0061}\u{e0062}\u{e007f}', '🏴'],
    ['علی\u200c', 'علی'],
    ['علی\u200c\u200cرضا', 'علیرضا'],
    ['\u200c علی', 'علی'],
    [' \u200b Ann \u202e ', 'Ann'],
    ['\u200b\u2060', ''],
  ]
  for (const [text, visible] of tricks)
    t.equal(visibleText(text), visible, encodeURI(text.toWellFormed()))
})

t.test('a part of a name is no broken part', async (t) => {
  t.equal(visibleStart('🗺'.repeat(9), 3), '🗺🗺🗺')
  t.equal(visibleStart('👩‍👩‍👧', 2), '👩')
  t.equal(visibleStart('ab c', 3), 'ab')
})

t.test('for terminals, what is invisible is shown as such', async (t) => {
  t.equal(replaceInvisible('a\u202eb\u001b[2J 👩‍🚒', '?'), 'a?b?[2J 👩‍🚒')
})

t.test('e-mail addresses are equal however the keyboard composed them', async (t) => {
  t.equal(normalizeEmail(' JOSE\u0301@Example.com '), 'jos\u00e9@example.com')
})

t.test('any text: nothing invisible is left, and doing it again changes nothing', async () => {
  const unit = fc.constantFrom(
    ...[
      '\u200b',
      '\u200c',
      '\u200d',
      '\u202e',
      '\ufe0f',
      '\u{e0100}',
      '\u{e0067}',
      '\u{e007f}',
      '\u00ad',
    ],
    ...[
      'a',
      ' ',
      '1',
      '\u20e3',
      'ی',
      'क',
      '\u094d',
      '字',
      '👩',
      '🏽',
      '🏴',
      'é',
      '\u0301',
      '\n',
      '\ud83d',
    ],
  )
  const texts = fc.oneof(fc.string({ unit }), fc.string({ unit: 'binary' }))
  fc.assert(
    fc.property(texts, (text) => {
      const visible = visibleText(text)
      return (
        visibleText(visible) === visible &&
        visible.isWellFormed() &&
        !/[\p{Cc}\p{Bidi_Control}\u200b\u00ad\u2060\ufeff]/u.test(visible)
      )
    }),
    { numRuns },
  )
})
