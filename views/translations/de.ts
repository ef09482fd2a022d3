import type { Translation } from './translation.ts'

/** German; addresses the reader as `Sie`. */
export const de: Translation = {
  texts: {
    'consent.title': '{app} verbinden',
    'consent.identity': '{app} möchte wissen, wer Sie bei Ellipsis Drive sind',
    'consent.use': '{app} möchte Ihr Ellipsis Drive nutzen',
    'consent.view': '{app} möchte Ihr Ellipsis Drive ansehen',
    'consent.lasts':
      'Der Zugriff gilt, bis Sie, die App oder der Betreiber dieses Brokers ihn widerruft.',
    'consent.lastsAtMost':
      'Der Zugriff gilt, bis Sie, die App oder der Betreiber dieses Brokers ihn widerruft, aber höchstens {duration}.',
    'consent.revoke': 'Sie können den Zugriff jederzeit widerrufen: [Ihre Verbindungen]({url}).',
    'consent.returns': 'Danach kehren Sie zu *{place}* zurück.',
    'consent.appAt': 'der App unter {scheme}',
    'consent.fragment':
      '*Warnung:* Diese App erhält ihr Zugriffstoken in der URL ihrer Seite, und Ihr Browser speichert diese in seinem Verlauf.',
    'consent.continue': 'Weiter zu Ellipsis Drive',
    'consent.deny': 'Ablehnen',
    'consent.unknownApp':
      'Wenn Sie nicht von dieser App kommen oder sie nicht kennen, wählen Sie „Ablehnen“.',
    'consent.policyChanged':
      'Was diese App darf, hat sich geändert, seit Sie diese Seite geöffnet haben. Lesen Sie es noch einmal und entscheiden Sie.',

    'scope.intro':
      'Wenn Sie fortfahren, melden Sie sich bei Ellipsis Drive an. Die App handelt dann in Ihrem Namen:',
    'scope.name': 'Die App erfährt Ihren Namen bei Ellipsis Drive',
    'scope.recognize': 'Die App kann Ihr Konto wiedererkennen, erfährt aber nicht seinen Namen',
    'scope.nothing':
      'Die App kann Ihre Karten, Ebenen und Dateien nicht ansehen, hinzufügen, ändern oder löschen',
    'scope.view': 'Die App kann Ihre Karten, Ebenen und Dateien ansehen',
    'scope.change': 'Die App kann sie hinzufügen, ändern und löschen',
    'scope.noChange': 'Die App kann nichts hinzufügen, ändern oder löschen',
    'scope.viewParts': 'Die App kann Teile Ihres Ellipsis Drive ansehen',
    'scope.noView': 'Die App kann Ihre Karten, Ebenen und Dateien nicht ansehen',
    'scope.someChanges':
      'Die App kann einige Änderungen vornehmen und dabei Daten hinzufügen, ändern oder löschen',
    'scope.rules': 'Die App kann nur diese Anfragen an Ellipsis Drive senden',
    'scope.rulesHint':
      'GET liest. Die anderen Methoden können etwas ändern; ein einzelnes `*` steht für jede Methode. In einem Pfad steht `*` für einen beliebigen Teil und `**` für alles darunter.',
    'scope.offline': 'Die App kann das jederzeit tun, auch wenn Sie sie nicht benutzen',
    'scope.proxy': 'Die App erreicht Ihr Drive nur über diesen Broker',
    'scope.noSecurity':
      'Die App kann weder Ihr Passwort noch andere Sicherheitseinstellungen ändern',

    'device.title': 'Ein Gerät verbinden',
    'device.identity':
      '{app} möchte auf einem anderen Gerät wissen, wer Sie bei Ellipsis Drive sind',
    'device.use': '{app} möchte Ihr Ellipsis Drive auf einem anderen Gerät nutzen',
    'device.view': '{app} möchte Ihr Ellipsis Drive auf einem anderen Gerät ansehen',
    'device.onlyYou':
      '*Fahren Sie nur fort, wenn Sie dies selbst begonnen haben* und Ihr Gerät den Code `{code}` anzeigt. Wenn Ihnen jemand den Code oder einen Link geschickt hat, wählen Sie „Ablehnen“: Diese Person könnte Zugriff auf Ihr Ellipsis Drive erhalten.',
    'device.requested': 'Angefordert {time}, von der IP-Adresse {address}: {device}.',
    'device.justNow': 'gerade eben',
    'device.check':
      'Prüfen Sie, ob Ihr Gerät genau diesen Code anzeigt. Wenn es einen anderen oder keinen Code anzeigt, schließen Sie diese Seite.',
    'device.enter': 'Geben Sie den Code ein, den Ihr Gerät anzeigt.',
    'device.code': 'Code',
    'device.continue': 'Weiter',
    'device.sent':
      'Wenn Ihnen jemand diesen Code oder einen Link zu dieser Seite geschickt hat, schließen Sie die Seite: Diese Person könnte Zugriff auf Ihr Ellipsis Drive erhalten.',
    'device.wrongCode':
      'Dieser Code ist falsch oder abgelaufen. Prüfen Sie ihn, oder fordern Sie auf dem Gerät einen neuen an.',

    'connected.title': 'Sie sind verbunden',
    'connected.account': 'Das Ellipsis-Drive-Konto *{username}* ist mit *{app}* verbunden.',
    'connected.yours': 'Ihr Ellipsis-Drive-Konto ist mit *{app}* verbunden.',
    'connected.device':
      'Gehen Sie zurück zu Ihrem Gerät. Es macht innerhalb weniger Sekunden von selbst weiter. Sie können dieses Fenster schließen.',
    'connected.manage':
      'Hier sehen Sie, welche Apps verbunden sind, und können sie trennen: [Ihre Verbindungen]({url}).',
    'refused.title': 'Es wurde nichts verbunden',
    'refused.denied':
      'Sie haben den Zugriff abgelehnt, daher kann *{app}* Ihr Ellipsis Drive nicht nutzen.',
    'refused.device': 'Ihr Gerät zeigt das auch an. Sie können dieses Fenster schließen.',
    'final.back': 'Zurück zu {app}',
    'final.alsoClose': 'Sie können dieses Fenster auch schließen.',
    'final.close': 'Sie können dieses Fenster schließen.',

    'account.title': 'Welches Konto möchten Sie verbinden?',
    'account.question':
      '*{app}* möchte das Ellipsis-Drive-Konto *{expected}*. Sie sind mit *{actual}* zurückgekommen. Es ist noch nichts verbunden.',
    'account.signOut':
      'Um ein anderes Konto zu verwenden, [melden Sie sich zuerst bei Ellipsis Drive ab]({url}). Sonst wählt Ellipsis Drive vielleicht wieder {actual}.',
    'account.signOutInTab':
      'Um ein anderes Konto zu verwenden, melden Sie sich zuerst in einem anderen Tab bei Ellipsis Drive ab. Sonst wählt Ellipsis Drive vielleicht wieder {actual}.',
    'account.restart': 'Anderes Konto verwenden',
    'account.continue': 'Weiter als {actual}',
    'account.neither': 'Um keines von beiden zu verbinden, schließen Sie dieses Fenster.',

    'error.title': 'Etwas ist schiefgegangen',
    'error.sent': '{app} hat diese Adresse gesendet:',
    'error.repeats':
      'Wenn das wiederholt geschieht, wenden Sie sich an den Betreiber dieses Brokers und nennen Sie `{code}`, `{request}`.',
    'error.repeatsContact':
      'Wenn das wiederholt geschieht, wenden Sie sich an den Betreiber dieses Brokers ({contact}) und nennen Sie `{code}`, `{request}`.',
    'error.incompleteLink':
      'Der Link, der Sie hierher geführt hat, funktioniert nicht. Gehen Sie zurück zur App und versuchen Sie es noch einmal. Wenn es wieder geschieht, sagen Sie es dem Entwickler der App.',
    'error.unreadable':
      'Der Broker konnte diese Anfrage nicht lesen. Gehen Sie zurück, laden Sie die Seite neu und versuchen Sie es noch einmal.',
    'error.tooMany':
      'Es gab zu viele Fehlversuche. Warten Sie {duration} und versuchen Sie es dann noch einmal.',
    'error.busy':
      'Ellipsis Drive oder dieser Broker ist überlastet. Warten Sie {duration} und versuchen Sie es dann noch einmal.',
    'error.broken':
      'Dieser Broker hat selbst ein Problem. Gehen Sie zurück und versuchen Sie es später noch einmal.',
    'form.expired':
      'Dieses Formular war abgelaufen, daher wurde nichts geändert. Prüfen Sie es und senden Sie es noch einmal.',
    'missing.title': 'Seite nicht gefunden',
    'missing.text':
      'Unter dieser Adresse gibt es keine Seite. Wenn eine App Sie hierher geschickt hat, gehen Sie zurück zur App.',
    'onlyForms.title': 'Diese Adresse hat keine Seite',
    'onlyForms.text':
      'Nur Formulare und Apps verwenden diese Adresse. Gehen Sie zurück zu der Seite oder App, von der Sie kommen.',

    'operator.name': 'Dieser Broker wird betrieben von {name}.',
    'operator.questions': 'Fragen?',
    'operator.privacy': 'Datenschutzerklärung',

    'home.text':
      'Apps kommen hierher, um sich in Ihrem Auftrag mit Ellipsis Drive zu verbinden. Wenn eine App Sie geschickt hat, gehen Sie zu ihr zurück und verbinden Sie sich dort.',
    'home.me':
      'Sehen Sie, welche Apps Ihr Ellipsis Drive nutzen, und trennen Sie sie: [Ihre Verbindungen]({url})',
    'home.admin': 'Für die Betreiber dieses Brokers: [Dashboard]({url})',
    'home.docs': 'Für Entwickler von Apps: [API-Referenz]({url})',

    'me.title': 'Ihre Verbindungen',
    'me.intro':
      'Sehen Sie, welche Apps Ihr Ellipsis Drive über diesen Broker nutzen. Trennen Sie sie, oder laden Sie herunter oder löschen Sie, was über Sie gespeichert ist.',
    'me.how':
      'Sie melden sich bei Ellipsis Drive an, damit dieser Broker weiß, wessen Verbindungen er zeigen soll. Dabei wird nichts verbunden.',
    'me.expired':
      'Ihre Sitzung war abgelaufen, daher wurde nichts geändert. Melden Sie sich erneut an.',
    'me.denied':
      'Sie haben den Zugriff abgelehnt, daher weiß dieser Broker nicht, wessen Verbindungen er zeigen soll.',
    'me.failed':
      'Die Anmeldung wurde nicht abgeschlossen. Versuchen Sie es in ein paar Minuten noch einmal.',
    'me.signedIn': 'Angemeldet als *{name}*. Nach 15 Minuten werden Sie abgemeldet.',
    'me.thisBrowser':
      'Ellipsis Drive teilt diesem Broker nicht mit, wessen Konto es ist. Daher zeigt diese Seite nur, was in diesem Browser verbunden wurde.',
    'me.signOut': 'Abmelden',
    'me.none': 'Keine App nutzt Ihr Ellipsis Drive über diesen Broker.',
    'me.former': 'Daten früherer Verbindungen sind noch gespeichert, höchstens 30 Tage lang.',
    'me.needsReconnect':
      'Ellipsis Drive akzeptiert diese Verbindung nicht mehr, daher erhalten ihre Apps keinen Zugriff. Eine Anmeldung hier ändert das nicht: Um eine App wieder zu nutzen, verbinden Sie sie neu.',
    'me.reconnect': '{app} neu verbinden',
    'me.removedApp': 'Entfernte App',
    'me.offline': '*Läuft ohne Sie:* Die App kann Ihr Ellipsis Drive jederzeit nutzen.',
    'me.here': 'dieser Browser',
    'me.server': 'Der Server der App',
    'me.anyDevice': 'Ein Gerät',
    'me.unknownBrowser': 'Unbekannter Browser',
    'me.onSystem': '{browser} unter {system}',
    'me.connected': 'Verbunden {time}',
    'me.connectedFrom': 'Verbunden {time}, von der IP-Adresse {address}',
    'me.used': 'Zuletzt genutzt {time}',
    'me.unused': 'Noch nicht genutzt',
    'me.ends': 'Der Zugriff endet {time}, wenn die App ihn nicht verlängert',
    'me.links': 'Links',
    'me.linksAbout': 'Wer eine solche URL hat, kann diesen Teil Ihres Drive ansehen.',
    'me.linkEnds': 'Läuft ab {time}',
    'me.disconnect': 'Trennen',
    'me.disconnectName': '{name} trennen',
    'me.revoke': 'Widerrufen',
    'me.revokeName': 'Den Link {name} widerrufen',
    'me.everything': 'Alles',
    'me.disconnectAll': 'Alles trennen',
    'me.download': 'Gespeicherte Daten herunterladen (JSON)',
    'me.erase': 'Gespeicherte Daten löschen',
    'me.tokens':
      'Zugriffstokens, die Apps bereits haben, können bei Ellipsis Drive nicht widerrufen werden. Sie laufen von selbst ab, das letzte {time}.',
    'me.cancel': 'Abbrechen',
    'me.askDevice': '{device} trennen?',
    'me.askDeviceText':
      '{app} erhält auf diesem Gerät keinen Zugriff mehr. Andere Geräte und Apps funktionieren weiter.',
    'me.askApp': '{app} trennen?',
    'me.askAppText':
      '{app} erhält auf keinem Gerät mehr Zugriff auf Ihr Ellipsis Drive, und die Links der App funktionieren nicht mehr. Andere Apps funktionieren weiter.',
    'me.askLink': 'Diesen Link widerrufen?',
    'me.askLinkText': 'Die URL von {link} funktioniert dann nicht mehr.',
    'me.askAll': 'Alles trennen?',
    'me.askAllText':
      'Alle Apps verlieren auf allen Geräten den Zugriff, alle Links werden ungültig, und die Tokens, die dieser Broker speichert, werden gelöscht.',
    'me.askErase': 'Löschen, was über Sie gespeichert ist?',
    'me.askEraseText':
      'Alle Apps verlieren den Zugriff. Ihr Name, Ihr Konto bei Ellipsis Drive, die Namen Ihrer Geräte, Ihre Links und IP-Adressen werden aus diesem Broker gelöscht. Das kann nicht rückgängig gemacht werden.',
    'me.askEraseKept':
      'Eine zufällige ID, die Namen der Apps, Zeiten und Handlungen von Administratoren bleiben eine Zeit lang ohne Ihren Namen gespeichert. Frühere Sicherungskopien enthalten alles, bis sie gelöscht werden.',
    'me.again': 'Sie können sich später wieder verbinden.',
    'me.doneDevice': 'Das Gerät ist getrennt.',
    'me.doneApp': 'Die App ist getrennt.',
    'me.doneLink': 'Der Link ist widerrufen.',
    'me.doneAll': 'Alles ist getrennt.',
    'me.doneErase': 'Was über Sie gespeichert war, ist gelöscht.',
    'me.doneAlready': 'Das war bereits getrennt.',
    'me.doneSignOut': 'Sie sind hier abgemeldet. Bei Ellipsis Drive sind Sie noch angemeldet.',

    'amount.second': '1 Sekunde | {count} Sekunden',
    'amount.minute': '1 Minute | {count} Minuten',
    'amount.hour': '1 Stunde | {count} Stunden',
    'amount.day': '1 Tag | {count} Tage',
  },
  errors: {
    flow_unknown:
      'Dieser Verbindungsversuch ist abgelaufen, bereits abgeschlossen oder wurde in einem anderen Browser begonnen. Gehen Sie zurück zur App und verbinden Sie sich erneut.',
    state_missing:
      'Die Weiterleitung von Ellipsis Drive ist unvollständig. Gehen Sie zurück zur App und verbinden Sie sich erneut.',
    app_removed:
      'Diese App wurde aus diesem Broker entfernt. Fragen Sie den Entwickler der App, was Sie stattdessen verwenden können.',
    redirect_uri_removed:
      'Diese App hat die Adresse entfernt, zu der Sie zurückkehren würden. Gehen Sie zurück zur App und verbinden Sie sich erneut.',
    access_policy_changed:
      'Was diese App darf, hat sich geändert, seit Sie gefragt wurden. Gehen Sie zurück zur App und verbinden Sie sich erneut.',
    device_code_expired:
      'Der Code Ihres Geräts ist abgelaufen. Beginnen Sie auf dem Gerät von vorn und geben Sie den neuen Code ein.',
    pushed_request_used:
      'Dieser Verbindungsversuch wurde bereits verwendet. Gehen Sie zurück zur App und verbinden Sie sich erneut.',
    other_account:
      'Sie sind von Ellipsis Drive mit einem anderen Konto zurückgekommen, als die App verlangt hat.',
    upstream_sent_no_code:
      'Ellipsis Drive hat keine Antwort gesendet. Gehen Sie zurück zur App und versuchen Sie es später noch einmal; wenn es wieder geschieht, sagen Sie es dem Betreiber dieses Brokers.',
    upstream_unavailable:
      'Ellipsis Drive ist überlastet oder nicht erreichbar. Gehen Sie zurück zur App und verbinden Sie sich in ein paar Minuten erneut.',
    upstream_error:
      'Ellipsis Drive konnte die Freigabe nicht abschließen. Gehen Sie zurück zur App und versuchen Sie es später noch einmal; wenn es wieder geschieht, sagen Sie es dem Betreiber dieses Brokers.',
    upstream_refused_code:
      'Ellipsis Drive hat den Code nicht akzeptiert, den es selbst gesendet hat. Gehen Sie zurück zur App und verbinden Sie sich erneut; wenn es wieder geschieht, sagen Sie es dem Betreiber dieses Brokers.',
    own_client_refused:
      'Ellipsis Drive akzeptiert die Zugangsdaten dieses Brokers nicht. Sagen Sie es dem Betreiber dieses Brokers.',
    session_option_changed:
      'Der Betreiber hat diese App geändert, während Sie sich verbunden haben. Verbinden Sie sich erneut.',
    account_unknown:
      'Ellipsis Drive teilt nicht mit, wessen Konto das ist, daher genügt ein Link nicht, um es zu verbinden. Gehen Sie zur App und verbinden Sie sich dort.',
    upstream_sent_no_refresh_token:
      'Ellipsis Drive hat nicht gesendet, was für eine dauerhafte Verbindung nötig ist. Verbinden Sie sich später erneut; wenn es wieder geschieht, sagen Sie es dem Betreiber dieses Brokers.',
    form_expired:
      'Dieses Formular ist abgelaufen, daher wurde nichts geändert. Gehen Sie zurück, laden Sie die Seite neu und versuchen Sie es noch einmal.',
    form_of_another_site:
      'Dieses Formular wurde von einer anderen Website gesendet. Gehen Sie zurück zur App und verbinden Sie sich erneut.',
    embedded:
      'Öffnen Sie diese Seite in einem eigenen Tab: Sie kann nicht in eine andere Seite eingebettet werden.',
    unknown_client:
      'Die App, die Sie hierher geschickt hat, ist bei diesem Broker nicht registriert. Gehen Sie zurück zur App und sagen Sie es ihrem Entwickler.',
    redirect_uri_mismatch:
      'Die App wollte, dass der Broker Sie zu einer Adresse schickt, die nicht für sie registriert ist. Gehen Sie zurück zur App und sagen Sie es ihrem Entwickler.',
    prompt_none:
      'Sie müssen selbst zustimmen, aber die App wollte das überspringen. Gehen Sie zurück zur App und verbinden Sie sich erneut.',
  },
}
