import { chmodSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import {
  MAX_PROGRAMS,
  PROGRAM_TIME_LIMIT_MS,
  createCommandSink,
} from '../../server/events/command-sink.ts'
import type { Message } from '../../server/events/message.ts'
import { testClock } from '../clock.ts'

const message: Message = {
  id: 'evt_1_2',
  type: 'connection.revoked',
  timestamp: '2026-01-31T08:00:00.000Z',
  data: { connection_id: 'con_1', app_id: null, grant_id: null, external_id: null, sequence: 3 },
}
const { signal } = new AbortController()

/** A sink for a shell script. */
function sinkOf(t: Test, script: string, environment: Record<string, string> = {}) {
  const directory = t.testdir({})
  const program = join(directory, 'on-event')
  writeFileSync(program, `#!/bin/sh\ncd '${directory}'\n${script}\n`)
  chmodSync(program, 0o755)
  const clock = testClock()
  const logged: object[] = []
  const log = {
    info: () => undefined,
    warn: (details: object) => void logged.push(details),
    error: () => undefined,
  }
  const PATH = process.env.PATH ?? ''
  const sink = createCommandSink({ program, environment: { PATH, ...environment }, clock, log })
  return { sink, clock, directory, logged, program }
}

/** Waits until a file exists. */
async function untilExists(file: string) {
  while (!existsSync(file)) await setTimeout(5)
}

t.test('the program gets the event on its input, and only the given variables', async (t) => {
  const { sink, directory, logged } = sinkOf(t, 'cat > event; env > variables', { TZ: 'UTC' })
  t.strictSame(await sink.deliver(message, signal), {
    outcome: 'delivered',
    answer: 0,
    error: null,
  })
  t.strictSame(JSON.parse(readFileSync(join(directory, 'event'), 'utf8')), message)
  const names = readFileSync(join(directory, 'variables'), 'utf8').matchAll(/^(\w+)=/gm)
  // The shell's own, and those that tap gives to every process.
  const others = /^(PWD|OLDPWD|_|SHLVL|NODE_OPTIONS|_TAPJS_.*)$/
  const given = [...names].flatMap(([, name = '']) => (others.test(name) ? [] : name))
  t.strictSame(given.sort(), ['PATH', 'TZ'])
  t.strictSame(logged, [])
})

t.test('a program that fails: its exit code, and the beginning of its output', async (t) => {
  const secret = 'x'.repeat(40)
  const { sink, logged, program } = sinkOf(
    t,
    `echo no mail server; echo ${secret} >&2; head -c 100000 /dev/zero | tr '\\0' '. '; exit 3`,
  )
  t.strictSame(await sink.deliver(message, signal), {
    outcome: 'failed',
    answer: 3,
    error: 'exit code 3',
  })
  t.match(logged, [{ program, event: 'evt_1_2', problem: 'exit code 3' }])
  const { output } = logged[0] as { output: string }
  t.match(output, 'no mail server')
  t.notMatch(output, secret, 'what may be a token')
  t.ok(output.length <= 1024)
})

t.test('a program that is killed, or that can’t be started', async (t) => {
  const killed = sinkOf(t, 'kill -9 $$')
  t.match(await killed.sink.deliver(message, signal), { error: 'killed by SIGKILL' })
  const locked = sinkOf(t, 'true')
  chmodSync(locked.program, 0o644)
  t.match(await locked.sink.deliver(message, signal), { error: 'can’t be started (EACCES)' })
})

t.test('a program that reads nothing gets its event', async (t) => {
  const { sink } = sinkOf(t, 'exit 0')
  t.match(await sink.deliver({ ...message, timestamp: 'x'.repeat(1e6) }, signal), { error: null })
})

t.test('a program that leaves another one in the background has ended', async (t) => {
  const { sink, directory } = sinkOf(t, 'sleep 60 & echo $! > pid')
  t.match(await sink.deliver(message, signal), { error: null })
  process.kill(Number(readFileSync(join(directory, 'pid'), 'utf8')))
})

t.test('a program that hangs is killed after the limit, with what it started', async (t) => {
  const { sink, clock, directory, logged } = sinkOf(t, 'sleep 1000 & echo $! > started; wait')
  const delivery = sink.deliver(message, signal)
  await untilExists(join(directory, 'started'))
  await clock.asleep(PROGRAM_TIME_LIMIT_MS)
  clock.advance(PROGRAM_TIME_LIMIT_MS)
  t.strictSame(await delivery, {
    outcome: 'failed',
    answer: null,
    error: 'killed: it took longer than 30 seconds',
  })
  t.equal(logged.length, 1)
  const child = Number(readFileSync(join(directory, 'started'), 'utf8'))
  while (isRunning(child)) await setTimeout(5)
})

t.test('few programs run at a time', async (t) => {
  const { sink, directory } = sinkOf(
    t,
    'id=$(cat | tr -dc 0-9); touch run-$id; ls | grep -c run- >> counts; while [ ! -e go ]; do sleep 0.02; done; rm run-$id',
  )
  const ids = Array.from({ length: 3 * MAX_PROGRAMS }, (_, index) => String(index))
  const deliveries = ids.map((id) => sink.deliver({ ...message, id }, signal))
  const running = () => readdirSync(directory).filter((name) => name.startsWith('run-')).length
  while (running() < MAX_PROGRAMS) await setTimeout(5)
  writeFileSync(join(directory, 'go'), '')
  for (const { error } of await Promise.all(deliveries)) t.equal(error, null)
  const counts = readFileSync(join(directory, 'counts'), 'utf8').trim().split('\n').map(Number)
  t.equal(counts.length, ids.length)
  t.ok(Math.max(...counts) <= MAX_PROGRAMS)
})

/** A process that has ended may still wait for its parent. */
function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
