"""What the law asks of whoever measures emotions or attention, in a sentence: facts, not legal advice."""

NOTICE = (
    "In the EU, inferring emotions of people at work or in education is forbidden but for medical or safety reasons "
    "(AI Act, Art. 5(1)(f), since 2 February 2025); elsewhere the people concerned must be told (Art. 50(3), since "
    "2 August 2026). Not legal advice."
)
