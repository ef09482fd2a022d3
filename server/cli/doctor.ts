import { Command } from 'commander'
import { loadConfig, readEnvironment } from '../config/config.ts'
import { examine } from '../operate/doctor.ts'
import { CommandError, message } from '../operate/messages.ts'
import { runtime } from '../runtime.ts'
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
      const findings = await examine(loadConfig(readEnvironment()), runtime)
      if (json) printJson(findings)
      else {
        for (const { check, status, finding, mend } of findings) {
          const fix = mend === null ? '' : `\n         → ${mend}`
          print(`${STATUS_LABELS[status]} ${check}: ${finding}${fix}`)
        }
      }
      const problems = findings.filter(({ status }) => status === 'problem').length
      const warnings = findings.filter(({ status }) => status === 'warning').length
      if (problems > 0) throw new CommandError('doctor.problems', { problems, warnings })
      if (!json) print(message('doctor.well', { checks: findings.length, warnings }))
    })
}
