import { Command } from 'commander'
import { loadConfig, readEnvironment } from '../config/config.ts'
import { examine } from '../operate/doctor.ts'
import { CommandError, message } from '../operate/messages.ts'
import { runtime } from '../runtime.ts'
import { print, printJson } from './output.ts'
import { lowerPriority } from './lower-priority.ts'

const SIGNS = { ok: 'ok      ', warning: 'warning ', problem: 'PROBLEM ' }

/** `doctor`: what is wrong with this installation. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('what is wrong with this installation, and the mend; changes nothing')
    .option('--json', 'as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      lowerPriority()
      const findings = await examine(loadConfig(readEnvironment()), runtime)
      if (json) printJson(findings)
      else {
        for (const { check, status, finding, mend } of findings) {
          print(
            `${SIGNS[status]} ${check}: ${finding}${mend === null ? '' : `\n         → ${mend}`}`,
          )
        }
      }
      const problems = findings.filter(({ status }) => status === 'problem').length
      const warnings = findings.filter(({ status }) => status === 'warning').length
      if (problems > 0) throw new CommandError('doctor.problems', { problems, warnings })
      if (!json) print(message('doctor.well', { checks: findings.length, warnings }))
    })
}
