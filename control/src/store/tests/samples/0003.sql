-- What a database of format 1 may hold. Never changed: it stands for real ones.
INSERT INTO apps (number, name, created_unix_ms, destroyed_unix_ms, deploy_branches, port, database)
VALUES (1, 'hello', 1, 2, '["main","master"]', 8101, 'none');
INSERT INTO apps (number, name, created_unix_ms, deploy_branches, root, port, database)
VALUES (2, 'hello', 3, '["main","master"]', 'services/api', 8101, 'postgresql');
INSERT INTO config_sets VALUES (2, 1, 3);
INSERT INTO formation VALUES (2, 'web', 2);
INSERT INTO run_numbers VALUES (0, 4), (2, 65);
INSERT INTO builds VALUES (2, 1, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'anna', 4);
INSERT INTO build_logs (app, build, lines, bytes) VALUES (2, 1, 1, 26);
INSERT INTO build_lines VALUES (2, 1, 1, '-----> Python app detected');
INSERT INTO slugs VALUES (2, unhex('abababababababababababababababababababababababababababababababab'), 12400000,
    '{"commands":{"web":"gunicorn app:app"},"env":{},"path":[],"buildpack":"python","interpreter":"Python 3.11.7","host_paths":[],"shared_libraries":[],"source_version":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","entries":17,"unpacked_bytes":4096}',
    5);
INSERT INTO slug_files SELECT sha256, bytes, 5 FROM slugs;
INSERT INTO releases SELECT 2, 1, sha256, 1, 1, '{"web":1}', '{"kind":"deploy","commit":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}', NULL, 'anna', 6 FROM slugs;
INSERT INTO app_current VALUES (2, 1, 1);
INSERT INTO releases SELECT 2, 2, sha256, 1, 1, '{"web":2}', '{"kind":"config","keys":["K"],"set":true}', 1, 'anna', 8 FROM slugs;
INSERT INTO release_outcomes VALUES (2, 1, 'switched', 7, NULL), (2, 2, 'failed', 9, 'GET / -> 500');
INSERT INTO build_outcomes SELECT 2, 1, 'succeeded', NULL, NULL, sha256, 1, 7 FROM slugs;
INSERT INTO pushes VALUES (1, 2, 1, 'refs/heads/main', '0000000000000000000000000000000000000000', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 6);
INSERT INTO push_outcomes VALUES (1, 1, 8);
INSERT INTO events (at_unix_ms, app, actor, code, detail, text)
VALUES (7, 2, 'anna', 'release.switched', '{"version":1}', 'v1 serves');
INSERT INTO people VALUES (1, 'anna', 3);
INSERT INTO keys VALUES ('SHA256:a', 1, 'ssh-ed25519', x'00', 3);
INSERT INTO grants VALUES (1, 2, 'owner', 3);
INSERT INTO settings VALUES ('create-on-push', 'on');
INSERT INTO process_settings (app, process_type, overlap, boot_timeout_s, stop_timeout_s) VALUES (2, 'web', 0, 90, NULL);
INSERT INTO kept_paths VALUES (2, 'app.db', 9), (2, 'public/uploads/', 9);
