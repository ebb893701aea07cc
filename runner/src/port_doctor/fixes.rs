//! What an author has to write so that a framework listens on `PORT`. Pure.

/// A word of the command → what to do; the first that is found counts, so the servers
/// stand before the languages that they are written in.
const BY_WORD: &[(&str, &str)] = &[
    ("gunicorn", "start it with `gunicorn --bind 0.0.0.0:$PORT …`, and set no `bind` in its configuration"),
    ("uvicorn", "start it with `uvicorn … --host 0.0.0.0 --port $PORT`"),
    ("fastapi", "start it with `fastapi run … --port $PORT`"),
    ("hypercorn", "start it with `hypercorn --bind 0.0.0.0:$PORT …`"),
    ("daphne", "start it with `daphne -b 0.0.0.0 -p $PORT …`"),
    ("waitress-serve", "start it with `waitress-serve --listen=*:$PORT …`"),
    ("flask", "start it with `flask run --host 0.0.0.0 --port $PORT`"),
    ("runserver", "start it with `manage.py runserver 0.0.0.0:$PORT`"),
    ("streamlit", "start it with `streamlit run … --server.port $PORT --server.address 0.0.0.0`"),
    ("http.server", "start it with `python -m http.server $PORT`"),
    ("next", "start it with `next start -p $PORT`"),
    ("nuxt", "start it with `nuxt start --port $PORT`"),
    ("vite", "start it with `vite preview --host 0.0.0.0 --port $PORT`"),
    ("ng", "start it with `ng serve --host 0.0.0.0 --port $PORT`"),
    ("serve", "start it with `serve -l $PORT`"),
    ("puma", "start it with `puma -b tcp://0.0.0.0:$PORT`, or `port ENV[\"PORT\"]` in config/puma.rb"),
    ("rails", "start it with `rails server -b 0.0.0.0 -p $PORT`"),
    ("rackup", "start it with `rackup -o 0.0.0.0 -p $PORT`"),
    ("php", "start it with `php -S 0.0.0.0:$PORT`"),
    ("java", "start it with `java -Dserver.port=$PORT -jar …` (Spring Boot), or let it read PORT"),
    ("caddy", "start it with `caddy run` and `:{$PORT}` in the Caddyfile"),
];

/// A language → what to write in the program.
const BY_LANGUAGE: &[(&str, &str)] = &[
    ("python", "let it listen on the port in the environment: `app.run(host=\"0.0.0.0\", port=int(os.environ[\"PORT\"]))`"),
    ("node", "let it listen on the port in the environment: `app.listen(process.env.PORT)`"),
    ("npm", "let it listen on the port in the environment: `app.listen(process.env.PORT)`, or pass it on: `npm start -- --port $PORT`"),
    ("ruby", "let it listen on the port in the environment: `ENV[\"PORT\"]`"),
    ("go", "let it listen on the port in the environment: `http.ListenAndServe(\":\"+os.Getenv(\"PORT\"), nil)`"),
    ("rust", "let it listen on the port in the environment: `std::env::var(\"PORT\")`"),
    ("php", "start it with `php -S 0.0.0.0:$PORT`"),
    ("java", "let it listen on the port in the environment: `System.getenv(\"PORT\")`"),
];

/// The fix for a Procfile command of a slug that this buildpack made.
pub fn fix(command: &str, buildpack: &str) -> String {
    let words: Vec<&str> = command.split(|char: char| char.is_whitespace() || matches!(char, '"' | '\'' | ';' | '&' | '(' | ')')).collect();
    let names: Vec<&str> = words.iter().map(|word| word.rsplit('/').next().unwrap_or(word)).collect();
    let by_word = BY_WORD.iter().find(|(name, _)| names.contains(name));
    let by_language = |wanted: &&(&str, &str)| names.iter().any(|name| is_language(name, wanted.0));
    let by_language = || BY_LANGUAGE.iter().find(by_language).or_else(|| BY_LANGUAGE.iter().find(|(name, _)| *name == buildpack));
    let found = by_word.or_else(by_language).map(|(_, fix)| (*fix).to_owned());
    found.unwrap_or_else(|| {
        "start it with --port $PORT, or let it listen on 0.0.0.0 and the port in the environment variable PORT".to_owned()
    })
}

/// `python3.11` is Python.
fn is_language(name: &str, language: &str) -> bool {
    name.strip_prefix(language).is_some_and(|version| version.chars().all(|char| char.is_ascii_digit() || char == '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fix_is_the_frameworks_own() {
        for (command, buildpack, part) in [
            ("flask run", "python", "flask run --host 0.0.0.0 --port $PORT"),
            ("gunicorn -b 127.0.0.1:5000 app:app", "python", "gunicorn --bind 0.0.0.0:$PORT"),
            ("/app/.venv/bin/uvicorn main:app", "python", "uvicorn … --host 0.0.0.0 --port $PORT"),
            ("python manage.py runserver", "python", "runserver 0.0.0.0:$PORT"),
            ("python3.11 app.py", "python", "os.environ[\"PORT\"]"),
            ("node server.js", "node", "process.env.PORT"),
            ("npm start", "node", "npm start -- --port $PORT"),
            ("npx next start", "node", "next start -p $PORT"),
            ("vite preview", "node", "vite preview --host"),
            ("bundle exec puma -C config/puma.rb", "ruby", "puma -b tcp"),
            ("bin/rails server", "ruby", "rails server -b 0.0.0.0 -p $PORT"),
            ("bin/hello", "go", "os.Getenv(\"PORT\")"),
            ("php -S localhost:8000 -t public", "php", "php -S 0.0.0.0:$PORT"),
            ("java -jar target/app.jar", "java", "-Dserver.port=$PORT"),
            ("bin/web", "", "start it with --port $PORT"),
        ] {
            let fix = fix(command, buildpack);
            assert!(fix.contains(part), "{command}: {fix}");
        }
    }
}
