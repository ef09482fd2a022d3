import t from 'tap'
import { noBrowser } from '../../browser/chromium.ts'
import { testExample } from './page.ts'

/**
 * Angular's packages are published half compiled. Angular's build completes them; this does as much of it as
 * services need, without a compiler.
 */
const LINKER = `
import { inject, ɵɵdefineInjectable } from '@angular/core'
globalThis.ng = {
  ɵcompilerFacade: {
    compileFactoryDeclaration: (_environment, _url, { type, deps }) =>
      function create(subtype = type) {
        return new subtype(...(deps ?? []).map(({ token, optional }) => inject(token, { optional })))
      },
    compileInjectableDeclaration: (_environment, _url, { type, useExisting, providedIn }) =>
      ɵɵdefineInjectable({
        token: type,
        providedIn,
        factory: () => (useExisting ? inject(useExisting) : type.ɵfac()),
      }),
    compileServiceDeclaration: (_environment, _url, { type, factory, autoProvided }) =>
      ɵɵdefineInjectable({
        token: type,
        providedIn: autoProvided === false ? null : 'root',
        factory: factory ?? (() => type.ɵfac()),
      }),
    compileNgModuleDeclaration: () => null,
    compileInjectorDeclaration: () => null,
    compileDirectiveDeclaration: () => null,
    compilePipeDeclaration: () => null,
  },
}
`

/** Starts an application as `createApplication` of @angular/platform-browser does, without components. */
const APPLICATION = `
import { DOCUMENT, ErrorHandler, ɵINJECTOR_SCOPE, ɵinternalCreateApplication } from '@angular/core'

const { injector } = await ɵinternalCreateApplication({
  appProviders: [
    { provide: ɵINJECTOR_SCOPE, useValue: 'root' },
    { provide: DOCUMENT, useValue: document },
    { provide: ErrorHandler, useValue: new ErrorHandler() },
    ...providers,
  ],
})
const oauth = injector.get(OAuthService)
const button = document.querySelector('#connect')
button.onclick = () => connect(oauth)
button.hidden = oauth.hasValidAccessToken()
const show = async () => {
  const names = oauth.hasValidAccessToken() ? await readNames(oauth) : null
  document.querySelector('#who').textContent = names ? names.join(' is connected as ') : notice
}
oauth.events.subscribe(show)
await show()
`

/** The broker under test has no TLS. */
const adapt = (source: string): string =>
  source.replace("responseType: 'code',", "responseType: 'code', requireHttps: false,") +
  APPLICATION

t.test('angular-oauth2-oidc, as docs/connect/browser.md configures it', { skip: noBrowser }, (t) =>
  testExample(t, { language: 'ts', adapt, prelude: LINKER }),
)
