import t from 'tap'
import {
  once,
  replay,
  replayClient,
  type Answer,
  type Execute,
} from '../../../db/postgres/replay.ts'

const answer = (...values: unknown[]): Answer => ({
  rows: values.map((value) => [value]),
  fields: ['value'],
  count: values.length,
})

/** Executes statements, and lists them. An answer that is an error fails. */
function recording(answers: Record<string, Answer | Error> = {}) {
  const texts: string[] = []
  const execute: Execute = async (statement) => {
    texts.push(statement.text)
    await Promise.resolve()
    const result = answers[statement.text] ?? answer()
    if (result instanceof Error) throw result
    return { ...result }
  }
  return { texts, execute }
}

const get = (text: string) => replayClient.prepare(text).pluck().get()
const write = { isTransaction: true }

t.test('work gets the answers of its statements, each executed once', async (t) => {
  const { texts, execute } = recording({ one: answer(1), two: answer(2, 3) })
  let runs = 0
  const work = () => {
    runs++
    const statement = replayClient.prepare('two')
    return [
      get('one'),
      statement.all(),
      statement.get(),
      statement.raw().all(),
      statement.pluck().all(),
      statement.run(),
      get('none'),
    ]
  }
  const two = [{ value: 2 }, { value: 3 }]
  t.strictSame(await replay(work, { execute, ...write }), [
    1,
    two,
    two[0],
    [[2], [3]],
    [2, 3],
    { changes: 2 },
    undefined,
  ])
  t.strictSame(texts, ['one', 'two', 'two', 'two', 'two', 'two', 'none'])
  t.equal(runs, 8, 'once more than there are statements')
})

t.test('work that sorts the rows of a statement sorts a list of its own', async (t) => {
  const { execute } = recording({ two: answer(2, 3, 1), one: answer(1) })
  const sorted: unknown[][] = []
  const work = () => {
    const rows = replayClient.prepare('two').pluck().all()
    sorted.push([...rows])
    rows.sort()
    return [rows, get('one')]
  }
  t.strictSame(await replay(work, { execute, ...write }), [[1, 2, 3], 1])
  t.strictSame(sorted, [
    [2, 3, 1],
    [2, 3, 1],
  ])
})

t.test('an error is thrown where its statement is', async (t) => {
  const broken = new Error('broken')
  const { texts, execute } = recording({ bad: broken })
  const caught = () => {
    try {
      return get('bad')
    } catch (error) {
      return [error, get('after')]
    }
  }
  t.strictSame(await replay(caught, { execute, ...write }), [broken, undefined])
  t.strictSame(texts, ['bad', 'after'])
  await t.rejects(
    replay(() => get('bad'), { execute, ...write }),
    broken,
  )
  t.throws(() => get('one'), /outside of/, 'no work runs')
  t.throws(() => once(() => 1), /outside of/)
})

t.test('a savepoint undoes work that failed', async (t) => {
  const broken = new Error('broken')
  const { texts, execute } = recording({ bad: broken })
  const alone = replayClient.transaction((text: string) => get(text))
  const work = () => {
    alone('good')
    try {
      alone('bad')
    } catch (error) {
      return error
    }
    return undefined
  }
  t.equal(await replay(work, { execute, ...write }), broken)
  const [begin, end, undo] = ['savepoint', 'release savepoint', 'rollback to savepoint'].map(
    (text) => `${text} work`,
  )
  t.strictSame(texts, [begin, 'good', end, begin, 'bad', undo])
  const reading = recording()
  await replay(() => alone('good'), { execute: reading.execute, isTransaction: false })
  t.strictSame(reading.texts, ['good'], 'a read has none')
})

t.test('a value that is computed once stays the same', async (t) => {
  const { execute } = recording()
  let computed = 0
  const work = () => {
    const first = once(() => ++computed)
    get('one')
    const second = once(() => ++computed)
    get('two')
    return [first, second]
  }
  t.strictSame(await replay(work, { execute, ...write }), [1, 2])
})

t.test('work that does not repeat itself is an error', async (t) => {
  const { texts, execute } = recording()
  let runs = 0
  const work = () => {
    get(`statement ${runs++}`)
    get('second')
  }
  await t.rejects(replay(work, { execute, ...write }), /did not repeat itself/)
  t.strictSame(texts, ['statement 0'])
  const values = () => replayClient.prepare('select ?').get(runs++)
  await t.rejects(replay(values, { execute, ...write }), /did not repeat itself/)
})

t.test('two works at a time do not mix', async (t) => {
  const { execute } = recording({ a: answer('a'), b: answer('b') })
  const work = (name: string) => () => [get(name), get(name), get(name)].join('')
  const results = await Promise.all(
    ['a', 'b', 'a'].map((name) => replay(work(name), { execute, ...write })),
  )
  t.strictSame(results, ['aaa', 'bbb', 'aaa'])
  const nested: Promise<unknown>[] = []
  const outer = () => {
    nested.push(replay(work('a'), { execute, ...write }))
    return get('b')
  }
  const result = replay(outer, { execute, ...write })
  t.equal(await result, 'b')
  for (const inner of nested) await t.rejects(inner, /within other work/)
})
