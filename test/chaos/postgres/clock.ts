import { globSync } from 'node:fs'

const [library] = globSync('/usr/lib/*/faketime/libfaketime.so.1')

/** For tap's `skip`: the reason if clocks cannot be set apart, otherwise `false`. */
export const noFakeTime: string | false = library === undefined && 'apt-get install libfaketime'

/** Variables with which a process sees another time of day. Elapsed time stays true. */
export const clockEnvironment = (offsetMs: number): Record<string, string> =>
  offsetMs === 0
    ? {}
    : {
        LD_PRELOAD: library ?? '',
        FAKETIME: `${offsetMs < 0 ? '' : '+'}${offsetMs / 1000}s`,
        DONT_FAKE_MONOTONIC: '1',
      }
