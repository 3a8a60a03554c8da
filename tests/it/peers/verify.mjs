// Verifies the token on standard input with google-auth-library; prints its email, or exits 1 where it is refused.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, certsUrl, audience, issuer] = process.argv.slice(2);
const { OAuth2Client } = createRequire(modules)("google-auth-library");
const client = new OAuth2Client({
  endpoints: {
    oauth2FederatedSignonPemCertsUrl: certsUrl,
    oauth2FederatedSignonJwkCertsUrl: certsUrl,
  },
  issuers: [issuer],
});
try {
  const idToken = readFileSync(0, "utf8").trim();
  const ticket = await client.verifyIdToken({ idToken, audience });
  console.log(ticket.getPayload().email);
} catch {
  // Without its text, which may hold the token.
  console.error("refused");
  process.exitCode = 1;
}
