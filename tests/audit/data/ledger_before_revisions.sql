BEGIN TRANSACTION;
CREATE TABLE ledger_entries (
	number INTEGER NOT NULL, 
	time VARCHAR(40) NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	subject VARCHAR(255) NOT NULL, 
	record TEXT NOT NULL, 
	previous_digest VARCHAR(64) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (previous_digest), 
	UNIQUE (digest)
);
INSERT INTO "ledger_entries" VALUES(1,'2026-11-21T12:39:04.095+00:00','synthesize','models:/demo/1','{"audit":{"outputs":{"weights_sha256":"abababababababababababababababababababababababababababababababab"}}}','0000000000000000000000000000000000000000000000000000000000000000','ca2ea2addc4912c125b2f0eb8e47e35bd903c1322c8604bc9277f37d80383f68');
INSERT INTO "ledger_entries" VALUES(2,'2026-11-21T12:39:04.105+00:00','synthesize','models:/demo/2','{"who":"Zoë"}','ca2ea2addc4912c125b2f0eb8e47e35bd903c1322c8604bc9277f37d80383f68','f52fbe45806fbb025df52204786a88768603cd8067f7d1cc27664f8aeae34a16');
CREATE TABLE ledger_terms (
	number INTEGER NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	value VARCHAR(255) NOT NULL, 
	PRIMARY KEY (number, name, value), 
	FOREIGN KEY(number) REFERENCES ledger_entries (number)
);
INSERT INTO "ledger_terms" VALUES(1,'requester','ann');
INSERT INTO "ledger_terms" VALUES(2,'image','aa');
INSERT INTO "ledger_terms" VALUES(2,'image','bb');
INSERT INTO "ledger_terms" VALUES(2,'requester','bob');
CREATE INDEX ix_ledger_entries_kind_subject ON ledger_entries (kind, subject);
CREATE INDEX ix_ledger_entries_subject ON ledger_entries (subject);
CREATE INDEX ix_ledger_terms_name_value ON ledger_terms (name, value);
CREATE TRIGGER ledger_entries_no_update BEFORE UPDATE ON ledger_entries
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_entries_no_delete BEFORE DELETE ON ledger_entries
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_entries_no_replace BEFORE INSERT ON ledger_entries
       WHEN EXISTS (SELECT 1 FROM ledger_entries WHERE number >= NEW.number
                    OR digest = NEW.digest OR previous_digest = NEW.previous_digest)
       BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
COMMIT;
