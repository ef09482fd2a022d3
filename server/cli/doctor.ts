import { Command } from 'commander'
import { useProxy } from '../config/proxy.ts'
import { CommandError, formatMessage } from '../operate/messages.ts'
import { runtime } from '../runtime.ts'
import { loadSettings, requireStore, withStoredUrl } from './settings.ts'
import { print, printJson } from './terminal.ts'
import { lowerPriority } from './lower-priority.ts'

const STATUS_LABELS = { ok: 'ok      ', warning: 'warning ', problem: 'PROBLEM ' }

/** `doctor`: checks this installation. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check this installation and suggest fixes; changes nothing')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      lowerPriority()
      const found = loadSettings()
      // A store that can't be read is a finding of the checks.
      const config = await withStoredUrl(found).catch(() => found.config)
      useProxy(config)
      const { runChecks } = await import('../operate/doctor/doctor.ts')
      const findings = await runChecks(config, runtime)
      if (json) printJson(findings.map(({ fix, ...rest }) => ({ ...rest, mend: fix })))
      else {
        for (const { check, status, finding, fix } of findings) {
          const advice = fix === null ? '' : `\n         → ${fix}`
          print(`${STATUS_LABELS[status]} ${check}: ${finding}${advice}`)
        }
      }
      requireStore(found)
      const problems = findings.filter(({ status }) => status === 'problem').length
      const warnings = findings.filter(({ status }) => status === 'warning').length
      if (problems > 0) throw new CommandError('doctor.problems', { problems, warnings })
      if (!json) print(formatMessage('doctor.ok', { checks: findings.length, warnings }))
    })
}
