import { randomBytes } from 'node:crypto'
import t from 'tap'
import { newUserCode, readUserCode, formatUserCode } from '../../server/oauth/user-code.ts'

t.test('a user code is eight consonants, all equally likely', async (t) => {
  const counts = new Map<string, number>()
  for (let round = 0; round < 5000; round++) {
    for (const letter of newUserCode(randomBytes)) {
      counts.set(letter, (counts.get(letter) ?? 0) + 1)
    }
  }
  t.equal([...counts.keys()].sort().join(''), 'BCDFGHJKLMNPQRSTVWXZ')
  for (const [letter, count] of counts) t.ok(count > 1750 && count < 2250, `${letter}: ${count}`)
  const high = (bytes: number) => Buffer.alloc(bytes, 255)
  let calls = 0
  const late = (bytes: number) => (calls++ === 0 ? high(bytes) : Buffer.alloc(bytes, 20))
  t.equal(newUserCode(late), 'BBBBBBBB', 'bytes that would favour some letters are skipped')
})

t.test('a user code is read regardless of case, spaces and dashes', async (t) => {
  for (const typed of ['WDJB-MJHT', 'wdjb mjht', ' WDJBMJHT ', 'w.d.j.b–m_j/h-t']) {
    t.equal(readUserCode(typed), 'WDJBMJHT', typed)
  }
  for (const typed of ['', 'WDJB', 'WDJB-MJHTX', 'ADJB-MJHT', 'WDJB-MJH0', 'ＷDJBMJHT']) {
    t.equal(readUserCode(typed), '', typed)
  }
  t.equal(formatUserCode('WDJBMJHT'), 'WDJB-MJHT')
  t.equal(formatUserCode(''), '')
})
