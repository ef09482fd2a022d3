import js from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'

/** Forbids imports that would run against the one way calls may go: routes -> domain -> Store | Ellipsis client. */
const layer = (files, ...groups) => ({
  files,
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: groups.map(([group, message, extra = {}]) => ({ group, message, ...extra })),
      },
    ],
  },
})

const fastify = ['fastify', '@fastify/*']
const sql = ['better-sqlite3', 'pg', 'drizzle-orm', 'drizzle-orm/*']
const engine = ['**/db/sql/**', '**/db/sqlite/**', '**/db/postgres/**', '**/db/data-directory/**']
/** Folders of the domain, one capability each. */
const domain = ['oauth', 'drive', 'refresh', 'connections', 'events', 'me', 'admin', 'crypto']
const domainFiles = domain.map((folder) => `server/${folder}/**/*.ts`)
const domainImports = domain.flatMap((folder) => [`../${folder}/**`, `../../${folder}/**`])

export default defineConfig(
  globalIgnores(['pictures/', 'dist/', '.tap/', 'node_modules/', 'data/']),
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      // Store methods are async by contract, whatever one engine needs; Fastify plugins likewise.
      '@typescript-eslint/require-await': 'off',
      // Objects here are records of closures: their methods know no `this` and may be taken out.
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['server/**/*.ts', 'db/**/*.ts'],
    ignores: ['server/config/config.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        {
          object: 'process',
          property: 'env',
          message: 'Only server/config/config.ts reads the environment.',
        },
      ],
    },
  },
  {
    files: ['server/demo/public/**/*.js', 'views/assets/**/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        'btoa clearTimeout crypto document DOMParser fetch FormData history localStorage location navigator sessionStorage setInterval setTimeout TextEncoder URLSearchParams window'
          .split(' ')
          .map((name) => [name, 'readonly']),
      ),
    },
  },
  layer(
    domainFiles,
    [fastify, 'The domain knows no HTTP framework.'],
    [sql, 'The domain talks to the Store contract.'],
    [engine, 'The domain talks to the Store contract.'],
    [
      ['**/http/**', '**/cli/**', '**/operate/**', '**/services.ts', '**/config.ts'],
      'Calls go one way: routes -> domain.',
    ],
    [
      ['**/ellipsis/**', '!**/ellipsis/errors.ts'],
      'The domain gets the client as an argument; it may import its types and errors.',
      { allowTypeImports: true },
    ],
  ),
  {
    files: domainFiles,
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']",
          message: 'Time is an argument of the domain.',
        },
        {
          selector: "NewExpression[callee.name='Date'][arguments.length=0]",
          message: 'Time is an argument of the domain.',
        },
        {
          selector: "CallExpression[callee.object.name='Math'][callee.property.name='random']",
          message: 'Randomness is an argument of the domain.',
        },
        {
          selector: "CallExpression[callee.name='fetch']",
          message: 'Only the Ellipsis client calls out.',
        },
      ],
    },
  },
  layer(
    ['server/http/**/*.ts'],
    [sql, 'Routes call the domain.'],
    [engine, 'Routes call the domain.'],
    [['**/db/store.ts', '**/db/model.ts'], 'Routes call the domain.', { allowTypeImports: true }],
    [['**/ellipsis/**', '**/cli/**', '**/stand-in/**'], 'Routes call the domain.'],
  ),
  layer(
    ['server/ellipsis/**/*.ts'],
    [
      [...fastify, ...sql, ...domainImports, '**/http/**', '**/db/**'],
      'The Ellipsis client stands alone.',
      { allowTypeImports: true },
    ],
  ),
  layer(
    ['server/stand-in/**/*.ts'],
    [
      [...domainImports, '**/http/**', '**/db/**', '**/ellipsis/**', '**/services.ts'],
      'The stand-in shares nothing with the broker.',
    ],
  ),
  {
    files: ['sdk/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^(?!\\.|react$)|\\.\\./(client|server|db)/',
              message: 'The SDK has no dependencies, and its two halves share `sdk/shared/`.',
            },
          ],
        },
      ],
    },
  },
  layer(
    ['db/**/*.ts'],
    [
      [...fastify, '**/server/**'],
      'The store knows nothing of the server.',
      { allowTypeImports: true },
    ],
  ),
  {
    files: ['test/**/*.ts'],
    rules: {
      // tap runs its subtests in order, awaited or not.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafePromises: [
            { from: 'package', name: 'PromiseWithSubtest', package: '@tapjs/core' },
          ],
        },
      ],
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
    },
  },
)
