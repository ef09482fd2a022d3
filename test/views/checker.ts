import { globSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { Eta } from 'eta'
import ts from 'typescript'

const root = join(import.meta.dirname, '../..')

/** The file with `Templates`, the map from a template's name to the type of its `it`. */
const TYPES_FILE = join(root, 'views/templates.ts')

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2024,
  lib: ['lib.es2024.d.ts'],
  module: ts.ModuleKind.NodeNext,
  types: [],
  noEmit: true,
  allowImportingTsExtensions: true,
  skipLibCheck: true,
  strict: true,
  noUnusedLocals: true,
}

/** Template sources by name (the path from views/ without `.eta`). */
export type Sources = Map<string, string>

/** Reads the templates under views/. */
export function readTemplates(): Sources {
  const names = globSync('**/*.eta', { cwd: join(root, 'views') }).sort()
  return new Map(
    names.map((name) => [
      name.slice(0, -'.eta'.length),
      readFileSync(join(root, 'views', name), 'utf8'),
    ]),
  )
}

/**
 * Type-checks each template as a function of its model, and finds unused fields of models: those that neither
 * the template nor its includes read, and optional ones that nothing sets.
 * @param types replaces the source of views/templates.ts
 * @returns one line per problem
 */
export function checkTemplates(templates: Sources, types?: string): string[] {
  const files = new Map(
    [...templates].map(([name, source]) => [pathOf(name), moduleOf(name, source, templates)]),
  )
  files.set(join(root, 'views/names.ts'), namesModule(templates))
  if (types !== undefined) files.set(TYPES_FILE, types)
  const program = createProgram(files)
  return [...typeErrors(program), ...unusedFields(program, [...templates.keys()])]
}

const pathOf = (name: string) => join(root, `views/${name}.eta.ts`)

/** A TypeScript program of files that exist only in memory. */
function createProgram(files: Map<string, string>): ts.Program {
  const host = ts.createCompilerHost(OPTIONS, true)
  const { getSourceFile, fileExists } = host
  host.fileExists = (path) => files.has(path) || fileExists(path)
  host.getSourceFile = (path, options) => {
    const source = files.get(path)
    if (source === undefined) return getSourceFile(path, options)
    return ts.createSourceFile(path, source, options, true)
  }
  return ts.createProgram([...files.keys()], OPTIONS, host)
}

const eta = new Eta({ debug: true })

/** A template as a TypeScript module, with the same line numbers. */
function moduleOf(name: string, source: string, templates: Sources): string {
  const includes = [...templates.keys()].map((other) => {
    const path = posix.relative(posix.dirname(name), other)
    return `'${path.startsWith('.') ? path : `./${path}`}': Templates['${other}']`
  })
  let code = `export function template(it: Templates['${name}'], print: Print, include: Include, layout: Layout) {`
  let line = 1
  for (const part of eta.parse(source)) {
    if (typeof part === 'string') continue
    const { t: type, val, lineNo = line } = part
    code += '\n'.repeat(Math.max(lineNo - line, 0)) + (type === 'e' ? val : `print(${val});`)
    line = Math.max(lineNo, line) + val.split('\n').length - 1
  }
  return `${code}
}
import type { Templates } from '${TYPES_FILE}'
interface Includes { ${includes.join('; ')} }
type Print = (value: string | number) => void
type Include = <Name extends keyof Includes>(name: Name, model: Includes[Name]) => string
type Layout = <Name extends keyof Includes>(name: Name, model: Omit<Includes[Name], 'body'>) => void
`
}

/** A module that compiles only if each template has a type, and each type a template. */
const namesModule = (templates: Sources) => `
import type { Templates } from '${TYPES_FILE}'
export const names: Record<keyof Templates, true> = { ${[...templates.keys()].map((name) => `'${name}': true`).join(', ')} }
`

function typeErrors(program: ts.Program): string[] {
  return ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
    const text = ts.flattenDiagnosticMessageText(messageText, ' ')
    if (!file) return text
    const { line } = file.getLineAndCharacterOfPosition(start)
    return `${file.fileName.slice(root.length + 1).replace(/\.eta\.ts$/, '.eta')}:${line + 1} ${text}`
  })
}

/** What one template reads, sets and calls. */
interface Usage {
  model: ts.Type
  /** Declarations of the fields that it reads. */
  read: Set<ts.Declaration>
  /** Declarations of the fields that it sets in models of other templates. */
  set: Set<ts.Declaration>
  /** Names of its includes and its layout. */
  calls: string[]
}

function unusedFields(program: ts.Program, names: string[]): string[] {
  const uses = new Map(names.map((name) => [name, usageOf(name, program)]))
  const set = new Set([...uses.values()].flatMap((use) => [...use.set]))
  const readBy = (name: string, seen = new Set<string>()): ts.Declaration[] => {
    const use = uses.get(name)
    if (!use || seen.has(name)) return []
    seen.add(name)
    return [...use.read, ...use.calls.flatMap((called) => readBy(called, seen))]
  }
  return [...uses].flatMap(([name, { model }]) => {
    const read = new Set(readBy(name))
    return fieldsOf(model, program).flatMap(({ path, isOptional, declarations }) => {
      const isIn = (group: Set<ts.Declaration>) => declarations.some((one) => group.has(one))
      if (!isIn(read)) return [`views/${name}.eta doesn't read ${path}`]
      return isOptional && !isIn(set)
        ? [`views/${name}.eta reads ${path}, which may never be set: use null`]
        : []
    })
  })
}

function usageOf(name: string, program: ts.Program): Usage {
  const checker = program.getTypeChecker()
  const template = program.getSourceFile(pathOf(name))?.statements.find(ts.isFunctionDeclaration)
  const [it] = template?.parameters ?? []
  if (!it) throw new Error(`${name} is not a template`)
  const use: Usage = {
    model: checker.getTypeAtLocation(it),
    read: new Set(),
    set: new Set(),
    calls: [],
  }
  const add = (to: Set<ts.Declaration>, field: ts.Symbol | undefined) => {
    for (const declaration of field?.declarations ?? []) to.add(declaration)
  }
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node)) add(use.read, checker.getSymbolAtLocation(node.name))
    if (ts.isBindingElement(node) && ts.isObjectBindingPattern(node.parent)) {
      const field = (node.propertyName ?? node.name).getText()
      add(use.read, checker.getTypeAtLocation(node.parent).getProperty(field))
    }
    if (ts.isObjectLiteralExpression(node)) {
      const expected = checker.getContextualType(node)?.getProperties() ?? []
      const given = checker.getTypeAtLocation(node)
      for (const field of expected) if (given.getProperty(field.name)) add(use.set, field)
      // `{ ...it }` reads the fields that the other template expects.
      for (const spread of node.properties.filter(ts.isSpreadAssignment)) {
        const from = checker.getTypeAtLocation(spread.expression)
        for (const field of expected) add(use.read, from.getProperty(field.name))
      }
    }
    if (ts.isCallExpression(node) && /^(include|layout)$/.test(node.expression.getText())) {
      const [called] = node.arguments
      if (called && ts.isStringLiteral(called))
        use.calls.push(posix.join(posix.dirname(name), called.text))
    }
    node.forEachChild(visit)
  }
  template?.body?.forEachChild(visit)
  return use
}

/** All fields of a model, including nested ones, without helpers and fields of built-in types. */
function fieldsOf(model: ts.Type, program: ts.Program) {
  const checker = program.getTypeChecker()
  const fields = new Map<ts.Declaration, Field>()
  const addFields = (type: ts.Type, path: string): void => {
    if (type.isUnion()) return type.types.forEach((one) => addFields(one, path))
    if (checker.isArrayType(type)) {
      const [item] = checker.getTypeArguments(type as ts.TypeReference)
      return item && addFields(item, `${path}[]`)
    }
    for (const field of type.getProperties()) {
      const { declarations = [] } = field
      const [first] = declarations
      if (!first || fields.has(first) || ts.isMethodSignature(first)) continue
      if (program.isSourceFileDefaultLibrary(first.getSourceFile())) continue
      const own = path ? `${path}.${field.name}` : field.name
      const isOptional = (field.flags & ts.SymbolFlags.Optional) !== 0
      fields.set(first, { path: own, isOptional, declarations })
      addFields(checker.getTypeOfSymbol(field), own)
    }
  }
  addFields(model, '')
  return [...fields.values()]
}

interface Field {
  /** Such as `rows[].name`. */
  path: string
  isOptional: boolean
  declarations: ts.Declaration[]
}
