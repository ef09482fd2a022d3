import { randomBytes } from 'node:crypto'
import t from 'tap'
import { associatedData } from '../../db/associated-data.ts'
import { openText, sealText } from '../../server/crypto/sealed-text.ts'
import { createVault } from '../../server/crypto/vault.ts'
import { Secret } from '../../server/secret.ts'

const newKey = () => new Secret(randomBytes(32).toString('base64url'))
const { personSession } = associatedData

t.test(
  'only text that was sealed here for the purpose opens, and no other loads keys',
  async (t) => {
    let loads = 0
    const [key, old] = [newKey(), newKey()]
    const load = () => {
      loads++
      return [key, old]
    }
    const vault = createVault(load, randomBytes)
    const sealed = sealText(vault, personSession, 'text')
    t.equal(openText(vault, personSession, sealed), 'text')
    const rotated = createVault(() => [old], randomBytes)
    t.equal(openText(vault, personSession, sealText(rotated, personSession, 'old')), 'old')
    t.equal(openText(vault, associatedData.signInFlow('x'), sealed), undefined)

    const before = loads
    const foreign = sealText(
      createVault(() => [newKey()], randomBytes),
      personSession,
      'text',
    )
    for (const value of [
      foreign.reveal(),
      '',
      'x',
      `x${sealed.reveal()}`,
      sealed.reveal().slice(0, 40),
    ])
      t.equal(openText(vault, personSession, new Secret(value)), undefined)
    t.equal(loads, before)
  },
)
