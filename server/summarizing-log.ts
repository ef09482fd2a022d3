import type { Log } from './log.ts'
import type { SteadyClock } from './runtime.ts'

/** A line that may repeat many times, as anyone can cause it. */
export interface RepeatedLine {
  level: keyof Log
  message: string
  /** Lines of the same kind and source are repetitions. Kinds must be bounded: no text that a client chose. */
  kind: string
  /** Whom the line is about, such as an address. */
  source: string
  /** The request id. */
  request: string
  /** Written with the first line, and without `detail` with its summary. Never a secret. */
  summary: object
  /** Written with the first line only. */
  detail?: object
}

/**
 * Logs the first of equal lines at once. At the end of its minute, one more line says how often it was repeated.
 * Memory and lines a minute are bounded: above `MAX_WINDOWS`, all further sources of a kind count as one.
 */
export interface SummarizingLog {
  /** `false`: the line is a repetition, and is only counted. */
  write(line: RepeatedLine): boolean
  /** Writes all pending summaries, and stops the timer. */
  close(): void
}

interface Window {
  line: RepeatedLine
  endsAt: number
  repeats: number
  /** Ids of the first repetitions, so that a request id that a user quotes is found. */
  requests: string[]
}

const WINDOW_MS = 60_000
const MAX_WINDOWS = 1000
const MAX_REQUESTS = 20
const MANY_SOURCES = 'many'
/** Timers may fire this much too early. */
const TOLERANCE_MS = 10

export function createSummarizingLog(deps: { log: Log; clock: SteadyClock }): SummarizingLog {
  const { log, clock } = deps
  /** By kind and source; the oldest first. */
  const windows = new Map<string, Window>()
  const closed = new AbortController()
  let isRunning = false

  const summarize = ({ line, repeats, requests }: Window): void => {
    if (repeats === 0) return
    const { level, message, summary } = line
    log[level](
      { ...summary, repeats, requests },
      `${message}: repeated ${repeats} ${repeats === 1 ? 'time' : 'times'} within a minute`,
    )
  }

  /** Sleeps until the oldest window ends, while there are any. */
  const run = async (): Promise<void> => {
    isRunning = true
    for (let [oldest] = windows.values(); oldest; [oldest] = windows.values()) {
      await clock.sleep(Math.max(0, oldest.endsAt - clock.steady()), closed.signal)
      const due = [...windows].filter(([, { endsAt }]) => endsAt <= clock.steady() + TOLERANCE_MS)
      if (due.length === 0) break
      for (const [key, window] of due) {
        windows.delete(key)
        summarize(window)
      }
    }
    isRunning = false
  }

  const open = (line: RepeatedLine, key: string): void => {
    const { level, message, request, summary, detail } = line
    log[level]({ request, ...summary, ...detail }, message)
    windows.set(key, { line, endsAt: clock.steady() + WINDOW_MS, repeats: 0, requests: [] })
    if (!isRunning && !closed.signal.aborted) void run()
  }

  return {
    write(line) {
      const { kind, source, request } = line
      const ownKey = `${kind}\n${source}`
      const isFull = !windows.has(ownKey) && windows.size >= MAX_WINDOWS
      const key = isFull ? `${kind}\n${MANY_SOURCES}` : ownKey
      const window = windows.get(key)
      if (!window) {
        const shared = { ...line, summary: { ...line.summary, address: MANY_SOURCES } }
        open(isFull ? shared : line, key)
        return true
      }
      window.repeats++
      if (window.requests.length < MAX_REQUESTS) window.requests.push(request)
      return false
    },

    close() {
      closed.abort()
      for (const window of windows.values()) summarize(window)
      windows.clear()
    },
  }
}
