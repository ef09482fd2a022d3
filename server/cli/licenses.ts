import { Command } from 'commander'
import { readLicenses } from '../assets.ts'
import { print } from './terminal.ts'

/** `licenses`: licenses of the bundled software, which require that their text is included. */
export function licensesCommand(): Command {
  return new Command('licenses')
    .description('print the licenses of all bundled software')
    .action(() => print(readLicenses()))
}
