import { Command } from 'commander'
import { readLicenses } from '../assets.ts'
import { print } from './output.ts'

/** `licenses`: of everything that is inside; theirs ask that their text goes along. */
export function licensesCommand(): Command {
  return new Command('licenses')
    .description('the licenses of everything that is inside')
    .action(() => print(readLicenses()))
}
