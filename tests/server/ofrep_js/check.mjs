// Asks a server through OpenFeature's official JavaScript providers, and prints the answers as JSON.
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature as Web } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';

const [baseUrl, token] = process.argv.slice(2);
const headers = [['Authorization', `Bearer ${token}`]];

async function onServer() {
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers }));
  const client = OpenFeature.getClient();
  const context = { targetingKey: 'ann', country: 'DE' };
  const asked = {
    boolean: client.getBooleanDetails('plain', false, context),
    string: client.getStringDetails('theme', 'none', context),
    number: client.getNumberDetails('limit', 0, context),
    object: client.getObjectDetails('shape', {}, context),
    missing: client.getBooleanDetails('nobody', true, context),
    mismatch: client.getNumberDetails('theme', 7, context),
    keyless: client.getBooleanDetails('share', true, {}),
  };
  const found = {};
  for (const [name, details] of Object.entries(asked)) {
    const { value, variant, reason, errorCode } = await details;
    found[name] = { value, variant, reason, errorCode };
  }
  return found;
}

async function onTheWeb() {
  await Web.setContext({ targetingKey: 'bob', country: 'FR' });
  await Web.setProviderAndWait(new OFREPWebProvider({ baseUrl, headers, cacheMode: 'disabled', pollInterval: -1 }));
  const client = Web.getClient();
  const before = client.getStringValue('theme', 'none');
  await Web.setContext({ targetingKey: 'ann', country: 'DE' });
  const after = client.getStringDetails('theme', 'none');
  const found = { before, value: after.value, variant: after.variant, reason: after.reason };
  await Web.close();
  return found;
}

const result = { server: await onServer(), web: await onTheWeb() };
await OpenFeature.close();
console.log(JSON.stringify(result));
process.exit(0);
