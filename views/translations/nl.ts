import type { Translation } from './translation.ts'

/** Dutch; addresses the reader as `je`. */
export const nl: Translation = {
  texts: {
    'consent.title': '{app} verbinden',
    'consent.identity': '{app} vraagt wie je bent bij Ellipsis Drive',
    'consent.use': '{app} vraagt om je Ellipsis Drive te mogen gebruiken',
    'consent.view': '{app} vraagt om je Ellipsis Drive te mogen bekijken',
    'consent.lasts':
      'De toegang duurt tot jij, de app of de beheerder van deze broker die intrekt.',
    'consent.lastsAtMost':
      'De toegang duurt tot jij, de app of de beheerder van deze broker die intrekt, maar hoogstens {duration}.',
    'consent.revoke': 'Je kunt de toegang altijd intrekken: [Je verbindingen]({url}).',
    'consent.returns': 'Daarna ga je terug naar *{place}*.',
    'consent.appAt': 'de app op {scheme}',
    'consent.fragment':
      '*Waarschuwing:* deze app krijgt het toegangstoken in de URL van de pagina, en je browser bewaart die in de geschiedenis.',
    'consent.continue': 'Verder naar Ellipsis Drive',
    'consent.deny': 'Weigeren',
    'consent.unknownApp': 'Kom je niet van deze app, of ken je de app niet? Kies dan Weigeren.',
    'consent.policyChanged':
      'Wat deze app mag, is veranderd sinds je deze pagina opende. Lees het opnieuw en kies.',

    'scope.intro': 'Als je verdergaat, log je in bij Ellipsis Drive. Namens jou:',
    'scope.name': 'ziet deze app je naam bij Ellipsis Drive',
    'scope.recognize': 'kan deze app je account herkennen, zonder de naam ervan te zien',
    'scope.nothing':
      'kan deze app je kaarten, lagen en bestanden niet bekijken, toevoegen, wijzigen of verwijderen',
    'scope.view': 'kan deze app je kaarten, lagen en bestanden bekijken',
    'scope.change': 'kan deze app die toevoegen, wijzigen en verwijderen',
    'scope.noChange': 'kan deze app niets toevoegen, wijzigen of verwijderen',
    'scope.viewParts': 'kan deze app delen van je Ellipsis Drive bekijken',
    'scope.noView': 'kan deze app je kaarten, lagen en bestanden niet bekijken',
    'scope.someChanges':
      'kan deze app een aantal wijzigingen doen en daarbij gegevens toevoegen, wijzigen of verwijderen',
    'scope.rules': 'kan deze app alleen deze verzoeken naar Ellipsis Drive sturen',
    'scope.rulesHint':
      'GET leest. De andere methoden kunnen iets wijzigen; een losse `*` staat voor elke methode. In een pad staat `*` voor een willekeurig deel, en `**` voor alles daaronder.',
    'scope.offline': 'kan deze app dit altijd doen, ook als je de app niet gebruikt',
    'scope.proxy': 'kan deze app je drive alleen via deze broker bereiken',
    'scope.noSecurity':
      'kan deze app je wachtwoord en andere beveiligingsinstellingen niet wijzigen',

    'device.title': 'Een apparaat verbinden',
    'device.identity': '{app} vraagt op een ander apparaat wie je bent bij Ellipsis Drive',
    'device.use': '{app} vraagt om je Ellipsis Drive op een ander apparaat te mogen gebruiken',
    'device.view': '{app} vraagt om je Ellipsis Drive op een ander apparaat te mogen bekijken',
    'device.onlyYou':
      '*Ga alleen verder als je dit zelf bent begonnen* en je apparaat de code `{code}` toont. Heeft iemand je de code of een link gestuurd? Kies dan Weigeren: die persoon zou toegang tot je Ellipsis Drive kunnen krijgen.',
    'device.requested': 'Aangevraagd {time}, vanaf het IP-adres {address}: {device}.',
    'device.justNow': 'zojuist',
    'device.check':
      'Controleer of je apparaat precies deze code toont. Toont het een andere code of geen code? Sluit dan deze pagina.',
    'device.enter': 'Voer de code in die je apparaat toont.',
    'device.code': 'Code',
    'device.continue': 'Verder',
    'device.sent':
      'Heeft iemand je deze code of een link naar deze pagina gestuurd? Sluit dan de pagina: die persoon zou toegang tot je Ellipsis Drive kunnen krijgen.',
    'device.wrongCode':
      'Deze code is onjuist of verlopen. Controleer de code, of vraag op het apparaat een nieuwe aan.',

    'connected.title': 'Je bent verbonden',
    'connected.account': 'Het Ellipsis Drive-account *{username}* is verbonden met *{app}*.',
    'connected.yours': 'Je Ellipsis Drive-account is verbonden met *{app}*.',
    'connected.device':
      'Ga terug naar je apparaat. Het gaat binnen enkele seconden vanzelf verder. Je kunt dit venster sluiten.',
    'connected.manage':
      'Bekijk welke apps verbonden zijn en verbreek verbindingen: [Je verbindingen]({url}).',
    'refused.title': 'Er is niets verbonden',
    'refused.denied':
      'Je hebt de toegang geweigerd, dus *{app}* kan je Ellipsis Drive niet gebruiken.',
    'refused.device': 'Je apparaat toont dit ook. Je kunt dit venster sluiten.',
    'final.back': 'Terug naar {app}',
    'final.alsoClose': 'Je kunt dit venster ook sluiten.',
    'final.close': 'Je kunt dit venster sluiten.',

    'account.title': 'Welk account wil je verbinden?',
    'account.question':
      '*{app}* vraagt om het Ellipsis Drive-account *{expected}*. Je kwam terug met *{actual}*. Er is nog niets verbonden.',
    'account.signOut':
      'Wil je een ander account gebruiken? [Log dan eerst uit bij Ellipsis Drive]({url}). Anders kiest Ellipsis Drive misschien weer {actual}.',
    'account.signOutInTab':
      'Wil je een ander account gebruiken? Log dan eerst in een ander tabblad uit bij Ellipsis Drive. Anders kiest Ellipsis Drive misschien weer {actual}.',
    'account.restart': 'Een ander account gebruiken',
    'account.continue': 'Verder als {actual}',
    'account.neither': 'Sluit dit venster om geen van beide te verbinden.',

    'error.title': 'Er ging iets mis',
    'error.sent': '{app} stuurde dit adres:',
    'error.repeats':
      'Blijft dit gebeuren? Neem dan contact op met de beheerder van deze broker en vermeld `{code}`, `{request}`.',
    'error.repeatsContact':
      'Blijft dit gebeuren? Neem dan contact op met de beheerder van deze broker ({contact}) en vermeld `{code}`, `{request}`.',
    'error.incompleteLink':
      'De link waarmee je hier kwam, werkt niet. Ga terug naar de app en probeer het opnieuw. Gebeurt het weer, meld het dan aan de ontwikkelaar van de app.',
    'error.unreadable':
      'De broker kon dit verzoek niet lezen. Ga terug, laad de pagina opnieuw en probeer het nog eens.',
    'error.tooMany':
      'Er waren te veel mislukte pogingen. Wacht {duration} en probeer het dan opnieuw.',
    'error.busy':
      'Ellipsis Drive of deze broker heeft het druk. Wacht {duration} en probeer het dan opnieuw.',
    'error.broken': 'Deze broker heeft zelf een probleem. Ga terug en probeer het later opnieuw.',
    'form.expired':
      'Dit formulier was verlopen, dus er is niets gewijzigd. Controleer het en verstuur het opnieuw.',
    'missing.title': 'Pagina niet gevonden',
    'missing.text':
      'Op dit adres is geen pagina. Heeft een app je hierheen gestuurd? Ga dan terug naar de app.',
    'onlyForms.title': 'Dit adres heeft geen pagina',
    'onlyForms.text':
      'Alleen formulieren en apps gebruiken dit adres. Ga terug naar de pagina of de app waar je vandaan kwam.',

    'operator.name': 'Deze broker wordt beheerd door {name}.',
    'operator.questions': 'Vragen?',
    'operator.privacy': 'Privacybeleid',

    'home.text':
      'Apps komen hier om voor jou verbinding te maken met Ellipsis Drive. Heeft een app je hierheen gestuurd? Ga dan terug naar de app en maak daar verbinding.',
    'home.me':
      'Bekijk welke apps je Ellipsis Drive gebruiken en verbreek verbindingen: [Je verbindingen]({url})',
    'home.admin': 'Voor beheerders van deze broker: [Dashboard]({url})',
    'home.docs': 'Voor ontwikkelaars van apps: [API-documentatie]({url})',

    'me.title': 'Je verbindingen',
    'me.intro':
      'Bekijk welke apps via deze broker je Ellipsis Drive gebruiken. Verbreek verbindingen, of download of wis wat er over je is opgeslagen.',
    'me.how':
      'Je logt in bij Ellipsis Drive, zodat deze broker weet welke verbindingen van jou zijn. Daarmee wordt niets verbonden.',
    'me.expired': 'Je sessie was verlopen, dus er is niets gewijzigd. Log opnieuw in.',
    'me.denied':
      'Je hebt de toegang geweigerd, dus deze broker weet niet welke verbindingen van jou zijn.',
    'me.failed': 'Het inloggen is niet gelukt. Probeer het over een paar minuten opnieuw.',
    'me.signedIn': 'Ingelogd als *{name}*. Na 15 minuten word je uitgelogd.',
    'me.thisBrowser':
      'Ellipsis Drive vertelt deze broker niet van wie het account is. Daarom toont deze pagina alleen wat in deze browser is verbonden.',
    'me.signOut': 'Uitloggen',
    'me.none': 'Geen enkele app gebruikt je Ellipsis Drive via deze broker.',
    'me.former': 'Gegevens over eerdere verbindingen zijn nog opgeslagen, hoogstens 30 dagen.',
    'me.needsReconnect':
      'Ellipsis Drive accepteert deze verbinding niet meer, dus de apps krijgen geen toegang. Hier inloggen verandert dat niet: verbind een app opnieuw om die weer te gebruiken.',
    'me.reconnect': '{app} opnieuw verbinden',
    'me.removedApp': 'Verwijderde app',
    'me.offline': '*Werkt zonder jou:* deze app kan je Ellipsis Drive op elk moment gebruiken.',
    'me.here': 'deze browser',
    'me.server': 'De server van de app',
    'me.anyDevice': 'Een apparaat',
    'me.unknownBrowser': 'Onbekende browser',
    'me.onSystem': '{browser} op {system}',
    'me.connected': 'Verbonden {time}',
    'me.connectedFrom': 'Verbonden {time}, vanaf het IP-adres {address}',
    'me.used': 'Laatst gebruikt {time}',
    'me.unused': 'Nog niet gebruikt',
    'me.ends': 'De toegang eindigt {time}, tenzij de app die verlengt',
    'me.links': 'Links',
    'me.linksAbout': 'Iedereen die zo’n URL heeft, kan dat deel van je drive bekijken.',
    'me.linkEnds': 'Verloopt {time}',
    'me.disconnect': 'Verbreken',
    'me.disconnectName': 'Verbinding met {name} verbreken',
    'me.revoke': 'Intrekken',
    'me.revokeName': 'De link {name} intrekken',
    'me.everything': 'Alles',
    'me.disconnectAll': 'Alle verbindingen verbreken',
    'me.download': 'Opgeslagen gegevens downloaden (JSON)',
    'me.erase': 'Opgeslagen gegevens wissen',
    'me.tokens':
      'Toegangstokens die apps al hebben, kunnen bij Ellipsis Drive niet worden ingetrokken. Ze verlopen vanzelf, het laatste {time}.',
    'me.cancel': 'Annuleren',
    'me.askDevice': 'Verbinding met {device} verbreken?',
    'me.askDeviceText':
      '{app} krijgt op dit apparaat geen toegang meer. Andere apparaten en apps blijven werken.',
    'me.askApp': 'Verbinding met {app} verbreken?',
    'me.askAppText':
      '{app} krijgt op geen enkel apparaat meer toegang tot je Ellipsis Drive, en de links van de app werken niet meer. Andere apps blijven werken.',
    'me.askLink': 'Deze link intrekken?',
    'me.askLinkText': 'De URL van {link} werkt dan niet meer.',
    'me.askAll': 'Alle verbindingen verbreken?',
    'me.askAllText':
      'Alle apps verliezen op alle apparaten hun toegang, alle links werken niet meer, en de tokens die deze broker bewaart, worden verwijderd.',
    'me.askErase': 'Alles wissen wat over je is opgeslagen?',
    'me.askEraseText':
      'Alle apps verliezen hun toegang. Je naam, je account bij Ellipsis Drive, de namen van je apparaten, je links en IP-adressen worden uit deze broker verwijderd. Dit kan niet ongedaan worden gemaakt.',
    'me.askEraseKept':
      'Een willekeurige ID, de namen van de apps, tijdstippen en wat beheerders hebben gedaan, worden nog een tijd bewaard, zonder je naam. Eerdere back-ups bevatten alles totdat ze worden verwijderd.',
    'me.again': 'Je kunt later opnieuw verbinding maken.',
    'me.doneDevice': 'De verbinding met het apparaat is verbroken.',
    'me.doneApp': 'De verbinding met de app is verbroken.',
    'me.doneLink': 'De link is ingetrokken.',
    'me.doneAll': 'Alle verbindingen zijn verbroken.',
    'me.doneErase': 'Wat over je was opgeslagen, is gewist.',
    'me.doneAlready': 'Die verbinding was al verbroken.',
    'me.doneSignOut': 'Je bent hier uitgelogd. Bij Ellipsis Drive ben je nog ingelogd.',

    'amount.second': '1 seconde | {count} seconden',
    'amount.minute': '1 minuut | {count} minuten',
    'amount.hour': '1 uur | {count} uur',
    'amount.day': '1 dag | {count} dagen',
  },
  errors: {
    flow_unknown:
      'Deze poging om te verbinden is verlopen, is al voltooid of is in een andere browser begonnen. Ga terug naar de app en maak opnieuw verbinding.',
    state_missing:
      'De doorverwijzing van Ellipsis Drive is onvolledig. Ga terug naar de app en maak opnieuw verbinding.',
    app_removed:
      'Deze app is uit deze broker verwijderd. Vraag de ontwikkelaar van de app wat je in plaats daarvan kunt gebruiken.',
    redirect_uri_removed:
      'Deze app heeft het adres verwijderd waarnaar je zou terugkeren. Ga terug naar de app en maak opnieuw verbinding.',
    access_policy_changed:
      'Wat deze app mag, is veranderd sinds het je werd gevraagd. Ga terug naar de app en maak opnieuw verbinding.',
    device_code_expired:
      'De code van je apparaat is verlopen. Begin opnieuw op het apparaat en voer de nieuwe code in.',
    pushed_request_used:
      'Deze poging om te verbinden is al gebruikt. Ga terug naar de app en maak opnieuw verbinding.',
    other_account:
      'Je kwam van Ellipsis Drive terug met een ander account dan waar de app om vroeg.',
    upstream_sent_no_code:
      'Ellipsis Drive gaf geen antwoord. Ga terug naar de app en probeer het later opnieuw; gebeurt het weer, meld het dan aan de beheerder van deze broker.',
    upstream_unavailable:
      'Ellipsis Drive heeft het druk of is niet bereikbaar. Ga terug naar de app en maak over een paar minuten opnieuw verbinding.',
    upstream_error:
      'Ellipsis Drive kon de toestemming niet afronden. Ga terug naar de app en probeer het later opnieuw; gebeurt het weer, meld het dan aan de beheerder van deze broker.',
    upstream_refused_code:
      'Ellipsis Drive accepteerde de code niet die het zelf stuurde. Ga terug naar de app en maak opnieuw verbinding; gebeurt het weer, meld het dan aan de beheerder van deze broker.',
    own_client_refused:
      'Ellipsis Drive accepteert de inloggegevens van deze broker niet. Meld het aan de beheerder van deze broker.',
    session_option_changed:
      'De beheerder heeft deze app gewijzigd terwijl je verbinding maakte. Maak opnieuw verbinding.',
    account_unknown:
      'Ellipsis Drive vertelt niet van wie dit account is, dus met alleen een link kun je het niet verbinden. Ga naar de app en maak daar verbinding.',
    upstream_sent_no_refresh_token:
      'Ellipsis Drive stuurde niet wat nodig is om verbonden te blijven. Maak later opnieuw verbinding; gebeurt het weer, meld het dan aan de beheerder van deze broker.',
    form_expired:
      'Dit formulier is verlopen, dus er is niets gewijzigd. Ga terug, laad de pagina opnieuw en probeer het nog eens.',
    form_of_another_site:
      'Dit formulier is vanaf een andere website verstuurd. Ga terug naar de app en maak opnieuw verbinding.',
    embedded:
      'Open deze pagina in een eigen tabblad: ze kan niet in een andere pagina worden ingesloten.',
    unknown_client:
      'De app die je hierheen stuurde, is niet bij deze broker geregistreerd. Ga terug naar de app en meld het aan de ontwikkelaar.',
    redirect_uri_mismatch:
      'De app vroeg de broker om je naar een adres te sturen dat niet voor de app is geregistreerd. Ga terug naar de app en meld het aan de ontwikkelaar.',
    prompt_none:
      'Je moet zelf toestemming geven, maar de app vroeg om dat over te slaan. Ga terug naar de app en maak opnieuw verbinding.',
  },
}
