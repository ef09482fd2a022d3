import fc from 'fast-check'
import t from 'tap'
import { fold } from '../../db/fold.ts'
import { size } from '../size.ts'

t.test('names are found however people type them', async (t) => {
  const same: string[][] = [
    ['Élodie', 'elodie', 'ÉLODIE', 'E\u0301lodie'],
    ['Straße', 'STRASSE', 'strasse', 'STRAẞE'],
    ['Łódź', 'lodz', 'łodz'],
    ['Søren', 'Soren', 'SØREN'],
    ['Ægir', 'aegir', 'AEgir'],
    ['Đorđe', 'dorde'],
    ['Işıl', 'isil', 'IŞIL', 'İsil'],
    ['Þór', 'Thor'],
    ['Œuvre', 'oeuvre'],
    ['Νίκος', 'ΝΙΚΟΣ', 'νικοσ'],
    ['O’Brien', "O'Brien", 'O‘Brien', 'Oʼbrien', 'O´Brien', 'O`Brien', 'O＇Brien', 'obrien'],
    ['Jean-Luc', 'Jean‑Luc', 'jean–luc'],
    ['“Bo”', '"bo"'],
    ['علي', 'علی', 'عَلی'],
    ['كريم', 'کریم'],
    ['می\u200cخواهم', 'میخواهم'],
    ['ﾊﾞﾗ', 'バラ'],
    ['Ａｎｎ', 'ann'],
    ['Ann\u00a0 Lee', 'ann lee'],
    ['ﬁn', 'fin'],
  ]
  for (const names of same) {
    t.equal(new Set(names.map(fold)).size, 1, names.map((name) => `${name}: ${fold(name)}`).join())
  }
})

t.test('vowel signs and voicing marks are letters', async (t) => {
  for (const [one = '', other = ''] of [
    ['राम', 'रोम'],
    ['ハハ', 'パパ'],
    ['กิน', 'กัน'],
  ]) {
    t.not(fold(one), fold(other))
  }
})

t.test('any name: a key is its own key, in few characters, and well formed', async () => {
  const units = [
    'ß',
    'ẞ',
    'İ',
    'ı',
    'Ǿ',
    'ʼ',
    '´',
    '\u0301',
    '\u200d',
    ' ',
    'ς',
    'Σ',
    'ŉ',
    '\ud800',
    '한',
    '🗺',
  ]
  const names = fc.oneof(
    fc.string({ unit: fc.constantFrom(...units), maxLength: 300 }),
    fc.string({ unit: 'binary', maxLength: 300 }),
  )
  fc.assert(
    fc.property(names, (name) => {
      const key = fold(name)
      return fold(key) === key && key.isWellFormed() && Array.from(key).length <= 200
    }),
    { numRuns: Number(process.env.RUNS ?? size(300, 5000)) },
  )
})
