import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

const root = join(import.meta.dirname, '..')

interface Manifest {
  exports: Record<string, string>
}

/** The SDK's reference as Markdown, from the exports of its modules and their docstrings. */
export function sdkReference(): string {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
  const modules = Object.entries(exports)
    .filter(([, path]) => path.endsWith('.js'))
    .map(([name, path]) => ({
      name: name.replace('.', 'ellipsis-broker'),
      file: join(root, path.replace('./dist/', '').replace(/js$/, 'ts')),
    }))
  const options = { noLib: true, types: [], allowImportingTsExtensions: true, noEmit: true }
  const program = ts.createProgram(
    modules.map(({ file }) => file),
    { ...options, module: ts.ModuleKind.NodeNext },
  )
  const checker = program.getTypeChecker()
  const described = new Set<ts.Symbol>()
  const sections = modules.map(({ name, file }) => {
    const source = program.getSourceFile(file)
    const module = source && checker.getSymbolAtLocation(source)
    if (!module) throw new Error(`${file} exports nothing.`)
    const symbols = checker.getExportsOfModule(module).map((symbol) => resolve(checker, symbol))
    const parts = symbols
      .filter((symbol) => !described.has(symbol))
      .sort((one, other) => rank(one) - rank(other))
      .map((symbol) => describe(checker, symbol))
    for (const symbol of symbols) described.add(symbol)
    return [`### ${name}`, ...parts].join('\n\n')
  })
  return sections.join('\n\n')
}

const resolve = (checker: ts.TypeChecker, symbol: ts.Symbol): ts.Symbol =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol

/** Functions first, then what they take and return. */
const rank = ({ flags }: ts.Symbol): number =>
  flags & (ts.SymbolFlags.Function | ts.SymbolFlags.Variable) ? 0 : 1

function describe(checker: ts.TypeChecker, symbol: ts.Symbol): string {
  const declaration = symbol.declarations?.[0]
  if (!declaration) throw new Error(`${symbol.name} is not declared.`)
  const lines = [`**\`${signature(declaration)}\`**`, documentation(checker, symbol)]
  const rows = membersOf(declaration).map((member) => {
    const own = member.name && checker.getSymbolAtLocation(member.name)
    const text = own ? documentation(checker, own).replace(/\s+/g, ' ') : ''
    return `| \`${cell(signature(member))}\` | ${cell(text)} |`
  })
  if (rows.length > 0) lines.push(['| | |', '| --- | --- |', ...rows].join('\n'))
  return lines.filter((line) => line !== '').join('\n\n')
}

const cell = (text: string): string => text.replaceAll('|', '\\|')

/** The docstring with its tags as sentences. */
function documentation(checker: ts.TypeChecker, symbol: ts.Symbol): string {
  const text = ts.displayPartsToString(symbol.getDocumentationComment(checker))
  const tags = symbol.getJsDocTags(checker).map(({ name, text = [] }) => {
    const value = ts.displayPartsToString(text).replace(/\s+/g, ' ')
    if (name !== 'param') return `${TAGS[name] ?? name}: ${value}.`
    const [, parameter = '', rest = ''] = /^(\S+)\s*-?\s*([^]*)$/.exec(value) ?? []
    return `\`${parameter}\`: ${rest}.`
  })
  return [text, ...tags].filter(Boolean).join('\n\n').replaceAll('..', '.')
}

const TAGS: Record<string, string> = { throws: 'Errors', returns: 'Returns' }

/** Members of an interface or class, or of the object types in an intersection. */
function membersOf(declaration: ts.Declaration): (ts.TypeElement | ts.ClassElement)[] {
  if (ts.isInterfaceDeclaration(declaration)) return [...declaration.members]
  if (ts.isClassDeclaration(declaration))
    return declaration.members.filter((member) => ts.isPropertyDeclaration(member) && member.type)
  if (ts.isTypeAliasDeclaration(declaration)) return literalsOf(declaration.type)
  return []
}

function literalsOf(type: ts.TypeNode): ts.TypeElement[] {
  if (ts.isTypeLiteralNode(type)) return [...type.members]
  if (ts.isIntersectionTypeNode(type)) return type.types.flatMap(literalsOf)
  return []
}

/** A declaration in one line, without comments, bodies and values. */
function signature(node: ts.Declaration): string {
  const printed = ts
    .createPrinter({ removeComments: true })
    .printNode(ts.EmitHint.Unspecified, withoutBody(node), node.getSourceFile())
  return printed
    .replace(/\s+/g, ' ')
    .replace(/^(export |async |readonly |override )+/, '')
    .replace(/^function /, '')
    .replace(/\{ ([^{}]*?);? \}/g, '{ $1 }')
    .replace(/;$/, '')
    .trim()
}

function withoutBody(node: ts.Declaration): ts.Node {
  const { factory } = ts
  if (ts.isFunctionDeclaration(node)) return withoutValues(node, node)
  if (ts.isVariableDeclaration(node) && node.initializer && ts.isArrowFunction(node.initializer))
    return withoutValues(node, node.initializer)
  if (ts.isInterfaceDeclaration(node)) return factory.createIdentifier(`interface ${heading(node)}`)
  if (ts.isClassDeclaration(node)) return factory.createIdentifier(`class ${heading(node)}`)
  if (ts.isTypeAliasDeclaration(node) && membersOf(node).length > 0) return typeOfParts(node)
  if (ts.isPropertyDeclaration(node)) {
    const { name, questionToken, type } = node
    return factory.createPropertySignature(undefined, name, questionToken, type)
  }
  return node
}

/** The name, with what it extends. */
const heading = (node: ts.InterfaceDeclaration | ts.ClassDeclaration): string =>
  [node.name?.text, ...(node.heritageClauses ?? []).map((clause) => clause.getText())].join(' ')

/** A type whose object types are in a table below it. */
function typeOfParts(node: ts.TypeAliasDeclaration): ts.Node {
  const named = (ts.isIntersectionTypeNode(node.type) ? node.type.types : []).filter(
    (type) => !ts.isTypeLiteralNode(type),
  )
  const extended = named.map((type) => ` & ${type.getText()}`).join('')
  return ts.factory.createIdentifier(`type ${node.name.text}${extended && ` = {…}${extended}`}`)
}

function withoutValues(
  { name }: ts.FunctionDeclaration | ts.VariableDeclaration,
  { typeParameters, parameters, type }: ts.SignatureDeclaration,
): ts.Node {
  const { factory } = ts
  const optional = factory.createToken(ts.SyntaxKind.QuestionToken)
  const plain = parameters.map(({ name, dotDotDotToken, questionToken, initializer, type }) =>
    factory.createParameterDeclaration(
      undefined,
      dotDotDotToken,
      ts.isIdentifier(name) ? name : 'options',
      questionToken ?? (initializer && optional),
      type,
    ),
  )
  const named = name as ts.Identifier
  return factory.createMethodSignature(undefined, named, undefined, typeParameters, plain, type)
}
