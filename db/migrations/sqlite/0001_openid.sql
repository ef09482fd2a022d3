ALTER TABLE `codes` ADD `nonce` text;--> statement-breakpoint
ALTER TABLE `flows` ADD `nonce` text;--> statement-breakpoint
ALTER TABLE `signing_keys` ADD `alg` text DEFAULT 'EdDSA' NOT NULL;