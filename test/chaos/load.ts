import { setTimeout as sleep } from 'node:timers/promises'
import type { Dice } from './random.ts'
import { swap } from './setting.ts'
import type { Setting } from './setting.ts'

/** Swaps by status; 0: no answer. */
export type Answers = Record<number, number>

/** How long an app waits after an answer, milliseconds; without one it asks the next broker. */
const PAUSES: Record<number, [number, number]> = { 0: [20, 200], 200: [100, 2500] }

/**
 * Apps that swap without end, mostly for a fresh token, until told to stop: so that refreshes are always
 * under way. Resolves when all have stopped.
 */
export async function load(setting: Setting, dice: Dice, signal: AbortSignal): Promise<Answers> {
  const answers: Answers = {}
  const app = async (index: number): Promise<void> => {
    const device = setting.devices[index]
    while (!signal.aborted && device) {
      const { url } = dice.pick(setting.brokers)
      const force = dice.next() < 0.8
      const { status, body } = await swap(url, device.token, { force })
      answers[status] = (answers[status] ?? 0) + 1
      if (typeof body.broker_token === 'string') device.token = body.broker_token
      await sleep(dice.between(...(PAUSES[status] ?? [300, 1500])))
    }
  }
  await Promise.all(setting.devices.map((_, index) => app(index)))
  return answers
}
