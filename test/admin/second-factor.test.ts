import t from 'tap'
import { buildBroker } from '../helper.ts'
import { useRecoveryCode, useStep } from '../../server/admin/second-factor.ts'
import { NOW, seal } from '../db/rows.ts'

const proposed = { secret: seal('x'), since: null, lastStep: null, recoveryCodes: [] }
const factor = { ...proposed, since: NOW, lastStep: 7, recoveryCodes: ['r1', 'r2'] }

t.test('the code of a time step works once, and no earlier one after it', async (t) => {
  t.equal(useStep(null, 8), undefined)
  t.equal(useStep(proposed, 8), undefined, 'not confirmed yet')
  t.equal(useStep(factor, 7), undefined)
  t.equal(useStep(factor, 6), undefined)
  const used = useStep(factor, 8)
  t.strictSame(used, { ...factor, lastStep: 8 })
  t.equal(useStep(used ?? null, 8), undefined)
})

t.test('a recovery code works once', async (t) => {
  t.equal(useRecoveryCode(null, 'r1'), undefined)
  t.equal(useRecoveryCode({ ...proposed, recoveryCodes: ['r1'] }, 'r1'), undefined)
  t.equal(useRecoveryCode(factor, 'r3'), undefined)
  const used = useRecoveryCode(factor, 'r1')
  t.strictSame(used, { ...factor, recoveryCodes: ['r2'] })
  t.equal(useRecoveryCode(used ?? null, 'r1'), undefined)
})

t.test('an admin who was removed gets no second factor', async (t) => {
  const { services } = await buildBroker(t)
  const gone = { id: 'adm_gone', email: 'gone@example.com' }
  t.equal(await services.secondFactors.propose(gone), undefined)
  t.equal(await services.secondFactors.drop(gone.email, 'test'), false)
})
