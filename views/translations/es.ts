import type { Translation } from './translation.ts'

/** Spanish; addresses the reader as `usted`. */
export const es: Translation = {
  texts: {
    'consent.title': 'Conectar {app}',
    'consent.identity': '{app} pregunta quién es usted en Ellipsis Drive',
    'consent.use': '{app} solicita usar su Ellipsis Drive',
    'consent.view': '{app} solicita ver su Ellipsis Drive',
    'consent.lasts':
      'El acceso dura hasta que usted, la aplicación o el operador de este broker lo revoque.',
    'consent.lastsAtMost':
      'El acceso dura hasta que usted, la aplicación o el operador de este broker lo revoque, pero como máximo {duration}.',
    'consent.revoke': 'Puede revocarlo en cualquier momento: [Sus conexiones]({url}).',
    'consent.returns': 'Después volverá a *{place}*.',
    'consent.appAt': 'la aplicación en {scheme}',
    'consent.fragment':
      '*Advertencia:* esta aplicación recibe su token de acceso en la URL de su página, que su navegador guarda en el historial.',
    'consent.continue': 'Continuar a Ellipsis Drive',
    'consent.deny': 'Denegar',
    'consent.unknownApp': 'Si no viene de esta aplicación, o no la conoce, seleccione «Denegar».',
    'consent.policyChanged':
      'Lo que esta aplicación puede hacer ha cambiado desde que se abrió esta página. Vuelva a leerla y decida.',

    'scope.intro': 'Si continúa, iniciará sesión en Ellipsis Drive. En su nombre, esta aplicación:',
    'scope.name': 've su nombre en Ellipsis Drive',
    'scope.recognize': 'puede reconocer su cuenta, pero no ve el nombre de la cuenta',
    'scope.nothing': 'no puede ver, añadir, modificar ni eliminar sus mapas, capas y archivos',
    'scope.view': 'puede ver sus mapas, capas y archivos',
    'scope.change': 'puede añadirlos, modificarlos y eliminarlos',
    'scope.noChange': 'no puede añadir, modificar ni eliminar nada',
    'scope.viewParts': 'puede ver partes de su Ellipsis Drive',
    'scope.noView': 'no puede ver sus mapas, capas y archivos',
    'scope.someChanges':
      'puede hacer algunos cambios y, con ellos, añadir, modificar o eliminar datos',
    'scope.rules': 'solo puede enviar estas solicitudes a Ellipsis Drive',
    'scope.rulesHint':
      'GET lee. Los demás métodos pueden modificar algo; un `*` solo representa cualquier método. En una ruta, `*` representa una parte cualquiera, y `**`, todo lo que está debajo.',
    'scope.offline': 'puede hacerlo en cualquier momento, también cuando usted no la usa',
    'scope.proxy': 'solo puede acceder a su drive a través de este broker',
    'scope.noSecurity': 'no puede cambiar su contraseña ni otros ajustes de seguridad',

    'device.title': 'Conectar un dispositivo',
    'device.identity': '{app} pregunta, en otro dispositivo, quién es usted en Ellipsis Drive',
    'device.use': '{app} solicita usar su Ellipsis Drive en otro dispositivo',
    'device.view': '{app} solicita ver su Ellipsis Drive en otro dispositivo',
    'device.onlyYou':
      '*Continúe solo si usted ha iniciado esta solicitud* y su dispositivo muestra el código `{code}`. Si alguien le ha enviado el código o un enlace, seleccione «Denegar»: esa persona podría obtener acceso a su Ellipsis Drive.',
    'device.requested': 'Solicitado {time}, desde la dirección IP {address}: {device}.',
    'device.justNow': 'ahora mismo',
    'device.check':
      'Compruebe que su dispositivo muestra exactamente este código. Si muestra otro código o ninguno, cierre esta página.',
    'device.enter': 'Introduzca el código que muestra su dispositivo.',
    'device.code': 'Código',
    'device.continue': 'Continuar',
    'device.sent':
      'Si alguien le ha enviado este código o un enlace a esta página, cierre la página: esa persona podría obtener acceso a su Ellipsis Drive.',
    'device.wrongCode':
      'Este código es incorrecto o ha caducado. Compruébelo, u obtenga uno nuevo en el dispositivo.',

    'connected.title': 'Conexión establecida',
    'connected.account': 'La cuenta de Ellipsis Drive *{username}* está conectada a *{app}*.',
    'connected.yours': 'Su cuenta de Ellipsis Drive está conectada a *{app}*.',
    'connected.device':
      'Vuelva a su dispositivo. Continuará automáticamente en unos segundos. Puede cerrar esta ventana.',
    'connected.manage':
      'Vea qué aplicaciones están conectadas y desconéctelas: [Sus conexiones]({url}).',
    'refused.title': 'No se ha conectado nada',
    'refused.denied': 'Ha denegado el acceso, por lo que *{app}* no puede usar su Ellipsis Drive.',
    'refused.device': 'Su dispositivo también lo muestra. Puede cerrar esta ventana.',
    'final.back': 'Volver a {app}',
    'final.alsoClose': 'También puede cerrar esta ventana.',
    'final.close': 'Puede cerrar esta ventana.',

    'account.title': '¿Qué cuenta quiere conectar?',
    'account.question':
      '*{app}* solicita la cuenta de Ellipsis Drive *{expected}*. Usted ha vuelto con *{actual}*. Aún no se ha conectado nada.',
    'account.signOut':
      'Para usar otra cuenta, primero [cierre la sesión en Ellipsis Drive]({url}). De lo contrario, Ellipsis Drive podría elegir de nuevo {actual}.',
    'account.signOutInTab':
      'Para usar otra cuenta, primero cierre la sesión en Ellipsis Drive en otra pestaña. De lo contrario, Ellipsis Drive podría elegir de nuevo {actual}.',
    'account.restart': 'Usar otra cuenta',
    'account.continue': 'Continuar como {actual}',
    'account.neither': 'Para no conectar ninguna de las dos, cierre esta ventana.',

    'error.title': 'Algo ha salido mal',
    'error.sent': '{app} ha enviado esta dirección:',
    'error.repeats':
      'Si esto se repite, póngase en contacto con el operador de este broker e indique `{code}`, `{request}`.',
    'error.repeatsContact':
      'Si esto se repite, póngase en contacto con el operador de este broker ({contact}) e indique `{code}`, `{request}`.',
    'error.incompleteLink':
      'El enlace que le ha traído aquí no funciona. Vuelva a la aplicación e inténtelo de nuevo. Si se repite, avise al desarrollador de la aplicación.',
    'error.unreadable':
      'El broker no ha podido leer esta solicitud. Vuelva atrás, recargue la página e inténtelo de nuevo.',
    'error.tooMany':
      'Ha habido demasiados intentos fallidos. Espere {duration} e inténtelo de nuevo.',
    'error.busy':
      'Ellipsis Drive o este broker está saturado. Espere {duration} e inténtelo de nuevo.',
    'error.broken': 'Hay un problema en este broker. Vuelva atrás e inténtelo de nuevo más tarde.',
    'form.expired':
      'Este formulario había caducado, por lo que no se ha cambiado nada. Revíselo y envíelo de nuevo.',
    'missing.title': 'Página no encontrada',
    'missing.text':
      'No hay ninguna página en esta dirección. Si una aplicación le ha enviado aquí, vuelva a la aplicación.',
    'onlyForms.title': 'Esta dirección no tiene página',
    'onlyForms.text':
      'Solo los formularios y las aplicaciones usan esta dirección. Vuelva a la página o a la aplicación de la que viene.',

    'operator.name': 'El operador de este broker es {name}.',
    'operator.questions': '¿Preguntas?',
    'operator.privacy': 'Política de privacidad',

    'home.text':
      'Las aplicaciones vienen aquí para conectarse a Ellipsis Drive en su nombre. Si viene de una aplicación, vuelva a ella y conéctese allí.',
    'home.me':
      'Vea qué aplicaciones usan su Ellipsis Drive y desconéctelas: [Sus conexiones]({url})',
    'home.admin': 'Para los operadores de este broker: [Panel de control]({url})',
    'home.docs': 'Para desarrolladores de aplicaciones: [Referencia de la API]({url})',

    'me.title': 'Sus conexiones',
    'me.intro':
      'Vea qué aplicaciones usan su Ellipsis Drive a través de este broker. Desconéctelas, o descargue o borre lo que está guardado sobre usted.',
    'me.how':
      'Va a iniciar sesión en Ellipsis Drive para que este broker sepa qué conexiones mostrar. Esto no conecta nada.',
    'me.expired':
      'Su sesión había caducado, por lo que no se ha cambiado nada. Inicie sesión de nuevo.',
    'me.denied': 'Ha denegado el acceso, por lo que este broker no sabe qué conexiones mostrar.',
    'me.failed': 'No se ha podido iniciar la sesión. Inténtelo de nuevo en unos minutos.',
    'me.signedIn': 'Sesión iniciada como *{name}*. Se cierra después de 15 minutos.',
    'me.thisBrowser':
      'Ellipsis Drive no indica a este broker de quién es la cuenta. Por eso esta página solo muestra lo que se conectó en este navegador.',
    'me.signOut': 'Cerrar sesión',
    'me.none': 'Ninguna aplicación usa su Ellipsis Drive a través de este broker.',
    'me.former': 'Aún se guardan datos de conexiones anteriores, durante un máximo de 30 días.',
    'me.needsReconnect':
      'Ellipsis Drive ya no acepta esta conexión, por lo que sus aplicaciones no obtienen acceso. Iniciar sesión aquí no lo cambia: para volver a usar una aplicación, conéctela de nuevo.',
    'me.reconnect': 'Volver a conectar {app}',
    'me.removedApp': 'Aplicación eliminada',
    'me.offline': '*Funciona sin usted:* puede usar su Ellipsis Drive en cualquier momento.',
    'me.here': 'este navegador',
    'me.server': 'El servidor de la aplicación',
    'me.anyDevice': 'Un dispositivo',
    'me.unknownBrowser': 'Navegador desconocido',
    'me.onSystem': '{browser} en {system}',
    'me.connected': 'Conectado {time}',
    'me.connectedFrom': 'Conectado {time}, desde la dirección IP {address}',
    'me.used': 'Último uso {time}',
    'me.unused': 'Aún sin usar',
    'me.ends': 'El acceso termina {time}, salvo que la aplicación lo renueve',
    'me.links': 'Enlaces',
    'me.linksAbout':
      'Cualquier persona que tenga una de estas URL puede ver esa parte de su drive.',
    'me.linkEnds': 'Caduca {time}',
    'me.disconnect': 'Desconectar',
    'me.disconnectName': 'Desconectar {name}',
    'me.revoke': 'Revocar',
    'me.revokeName': 'Revocar el enlace {name}',
    'me.everything': 'Todo',
    'me.disconnectAll': 'Desconectar todo',
    'me.download': 'Descargar lo que está guardado (JSON)',
    'me.erase': 'Borrar lo que está guardado',
    'me.tokens':
      'Los tokens de acceso que las aplicaciones ya tienen no se pueden revocar en Ellipsis Drive. Caducan por sí solos, el último {time}.',
    'me.cancel': 'Cancelar',
    'me.askDevice': '¿Desconectar {device}?',
    'me.askDeviceText':
      '{app} ya no tendrá acceso en este dispositivo. Los demás dispositivos y aplicaciones seguirán funcionando.',
    'me.askApp': '¿Desconectar {app}?',
    'me.askAppText':
      '{app} ya no tendrá acceso a su Ellipsis Drive en ningún dispositivo, y sus enlaces dejarán de funcionar. Las demás aplicaciones seguirán funcionando.',
    'me.askLink': '¿Revocar este enlace?',
    'me.askLinkText': 'La URL de {link} dejará de funcionar.',
    'me.askAll': '¿Desconectar todo?',
    'me.askAllText':
      'Todas las aplicaciones pierden el acceso en todos los dispositivos, todos los enlaces dejan de funcionar y los tokens que este broker guarda se eliminan.',
    'me.askErase': '¿Borrar lo que está guardado sobre usted?',
    'me.askEraseText':
      'Todas las aplicaciones pierden el acceso. Su nombre, su cuenta de Ellipsis Drive, los nombres de sus dispositivos, sus enlaces y direcciones IP se eliminan de este broker. Esto no se puede deshacer.',
    'me.askEraseKept':
      'Un identificador aleatorio, los nombres de las aplicaciones, las fechas y lo que hicieron los administradores se conservan un tiempo, sin su nombre. Las copias de seguridad anteriores lo contienen todo hasta que se eliminan.',
    'me.again': 'Puede volver a conectarse más tarde.',
    'me.doneDevice': 'El dispositivo está desconectado.',
    'me.doneApp': 'La aplicación está desconectada.',
    'me.doneLink': 'El enlace está revocado.',
    'me.doneAll': 'Todo está desconectado.',
    'me.doneErase': 'Lo que estaba guardado sobre usted se ha borrado.',
    'me.doneAlready': 'Eso ya estaba desconectado.',
    'me.doneSignOut': 'Ha cerrado la sesión aquí. En Ellipsis Drive, su sesión sigue abierta.',

    'amount.second': '1 segundo | {count} segundos',
    'amount.minute': '1 minuto | {count} minutos',
    'amount.hour': '1 hora | {count} horas',
    'amount.day': '1 día | {count} días',
  },
  errors: {
    flow_unknown:
      'Este intento de conexión ha caducado, ya se ha completado o se inició en otro navegador. Vuelva a la aplicación y conéctese de nuevo.',
    state_missing:
      'La redirección de Ellipsis Drive está incompleta. Vuelva a la aplicación y conéctese de nuevo.',
    app_removed:
      'Esta aplicación se ha eliminado de este broker. Pregunte al desarrollador de la aplicación qué usar en su lugar.',
    redirect_uri_removed:
      'Esta aplicación ha eliminado la dirección a la que usted volvería. Vuelva a la aplicación y conéctese de nuevo.',
    access_policy_changed:
      'Lo que esta aplicación puede hacer ha cambiado desde que se le preguntó. Vuelva a la aplicación y conéctese de nuevo.',
    device_code_expired:
      'El código de su dispositivo ha caducado. Empiece de nuevo en el dispositivo e introduzca el nuevo código.',
    pushed_request_used:
      'Este intento de conexión ya se ha usado. Vuelva a la aplicación y conéctese de nuevo.',
    other_account:
      'Ha vuelto de Ellipsis Drive con una cuenta distinta de la que pidió la aplicación.',
    upstream_sent_no_code:
      'Ellipsis Drive no ha enviado ninguna respuesta. Vuelva a la aplicación e inténtelo más tarde; si se repite, avise al operador de este broker.',
    upstream_unavailable:
      'Ellipsis Drive está saturado o no está disponible. Vuelva a la aplicación y conéctese de nuevo en unos minutos.',
    upstream_error:
      'Ellipsis Drive no ha podido completar la autorización. Vuelva a la aplicación e inténtelo más tarde; si se repite, avise al operador de este broker.',
    upstream_refused_code:
      'Ellipsis Drive no ha aceptado el código que él mismo envió. Vuelva a la aplicación y conéctese de nuevo; si se repite, avise al operador de este broker.',
    own_client_refused:
      'Ellipsis Drive no acepta las credenciales de este broker. Avise al operador de este broker.',
    session_option_changed:
      'El operador ha modificado esta aplicación mientras usted se conectaba. Conéctese de nuevo.',
    account_unknown:
      'Ellipsis Drive no indica de quién es esta cuenta, por lo que un enlace solo no puede conectarla. Vaya a la aplicación y conéctese allí.',
    upstream_sent_no_refresh_token:
      'Ellipsis Drive no ha enviado lo necesario para mantener la conexión. Conéctese de nuevo más tarde; si se repite, avise al operador de este broker.',
    form_expired:
      'Este formulario ha caducado, por lo que no se ha cambiado nada. Vuelva atrás, recargue la página e inténtelo de nuevo.',
    form_of_another_site:
      'Este formulario se ha enviado desde otro sitio web. Vuelva a la aplicación y conéctese de nuevo.',
    embedded: 'Abra esta página en su propia pestaña: no se puede incrustar en otra página.',
    unknown_client:
      'La aplicación que le ha enviado aquí no está registrada en este broker. Vuelva a la aplicación y avise a su desarrollador.',
    redirect_uri_mismatch:
      'La aplicación ha pedido al broker que le envíe a una dirección que no está registrada para ella. Vuelva a la aplicación y avise a su desarrollador.',
    prompt_none:
      'Debe dar su consentimiento personalmente, pero la aplicación quiso omitir ese paso. Vuelva a la aplicación y conéctese de nuevo.',
  },
}
