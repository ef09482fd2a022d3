import { text } from 'node:stream/consumers'
import { Command, Option } from 'commander'
import type { Admin } from '../../db/store.ts'
import { Secret } from '../secret.ts'
import { askHidden } from './ask.ts'
import { ACTOR, withServices } from './with-services.ts'
import { UsageError, print, printJson, printTable, time } from './output.ts'

interface Flags {
  passwordStdin?: boolean
  role?: Admin['role']
  json?: boolean
}

/** `admin`: the people who may use the dashboard. */
export function adminCommand(): Command {
  const admin = new Command('admin').description('the people who may use the dashboard')

  admin
    .command('add <email>')
    .description('add an admin; the password is asked for')
    .option('--password-stdin', 'read the password from standard input')
    .addOption(
      new Option('--role <role>', 'viewer: may look, and change nothing')
        .choices(['admin', 'viewer'])
        .default('admin'),
    )
    .action((email: string, { passwordStdin, role }: Flags) =>
      withServices(async ({ admins }) => {
        const added = await admins.add(email, await readPassword(passwordStdin), ACTOR, role)
        print(`Added ${added.role} ${added.email}.`)
      }),
    )

  admin
    .command('list')
    .description('all admins')
    .option('--json', 'as JSON')
    .action(({ json }: Flags) =>
      withServices(async ({ admins }) => {
        const all = (await admins.list()).map(describe)
        if (json) return printJson(all)
        printTable(all, 'No admin yet: add one with `admin add EMAIL`.')
      }),
    )

  admin
    .command('remove <email>')
    .description('remove an admin')
    .action((email: string) =>
      withServices(async ({ admins }) => {
        if ((await admins.remove(email, ACTOR)) === 'none') throw none(email)
        print(`Removed ${email}.`)
      }),
    )

  admin
    .command('reset-password <email>')
    .description('set another password; it is asked for')
    .option('--password-stdin', 'read the password from standard input')
    .action((email: string, { passwordStdin }: Flags) =>
      withServices(async ({ admins }) => {
        const password = await readPassword(passwordStdin)
        if (!(await admins.setPassword(email, password, ACTOR))) throw none(email)
        print(`The password of ${email} is set.`)
      }),
    )

  admin
    .command('remove-second-factor <email>')
    .description('for who lost it: the password alone lets them in again')
    .action((email: string) =>
      withServices(async ({ secondFactors }) => {
        if (!(await secondFactors.drop(email, ACTOR))) {
          throw new UsageError(`There is no admin ${email} with a second factor.`)
        }
        print(`The second factor of ${email} is removed. Have them add another.`)
      }),
    )
  return admin
}

const none = (email: string): UsageError => new UsageError(`There is no admin ${email}.`)

const describe = (admin: Admin) => ({
  email: admin.email,
  role: admin.role,
  second_factor: admin.secondFactorSince === null ? 'no' : 'yes',
  created_at: time(admin.createdAt),
})

async function readPassword(fromStdin?: boolean): Promise<Secret> {
  if (fromStdin) return new Secret((await text(process.stdin)).replace(/\r?\n$/, ''))
  if (!process.stdin.isTTY) {
    throw new UsageError('There is no terminal to ask for the password: use --password-stdin.')
  }
  const first = await askHidden('Password: ')
  if ((await askHidden('Again: ')) === first) return new Secret(first)
  throw new UsageError('The two passwords differ.')
}
