"""Writes heldout.jsonl: question pairs that nothing was tuned on. Nobody looks at single ones of them.

Paraphrases are written out; of hard negatives each template gives at most eight pairs. independent-heldout.jsonl
is part of it: negatives by somebody who did not know the guard. Topics and templates are
others than those of calibration.jsonl.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent

PARAPHRASES = """
How do I activate my new credit card?|what do I have to do to activate my new credit card|activating a new credit card
How can I track my parcel?|where do I track my package?|I'd like to track my parcel, how does that work?
What is your refund policy?|could you explain your refund policy|tell me about the refund policy
How do I change my delivery address?|I want to update my delivery address|what's the procedure to modify the delivery address
Can I pay with PayPal?|is it possible to pay by PayPal?|do you let customers pay with PayPal
Why was my payment declined?|what's the reason my payment was declined?|my payment was declined, why?
How do I close my bank account?|what steps do I follow to close my bank account?|I want to close my bank account
How do I get an invoice for my purchase?|where can I get the invoice for my purchase|I need an invoice for my purchase
How long is the warranty on this laptop?|what is the warranty period of this laptop|how long does the warranty of this laptop last?
Do you ship to Canada?|is shipping to Canada available?|can you ship things to Canada?
How do I redeem a gift card?|what's the way to redeem a gift card|redeeming gift cards: how?
How do I speak to a human agent?|I want to talk to a human agent|can I speak with a human agent please
How do I rotate an image in Photoshop?|rotating an image in Photoshop|what is the way to rotate a picture in Photoshop?
How do I freeze the top row in Excel?|in Excel, how can I freeze the top row?|what's the way to freeze a top row in Excel
How do I remove duplicates in Google Sheets?|how can duplicates be removed in Google Sheets?|delete duplicates in Google Sheets
How do I add page numbers in Word?|inserting page numbers in Word|what do I do to add page numbers in Word?
How do I take a screenshot on a Mac?|taking screenshots on Mac|what's the way to take a screenshot on a Mac?
How do I read a JSON file in Python?|reading a json file in Python|in python, how can a JSON file be read?
How do I remove an item from a list in JavaScript?|deleting an item from a list in JavaScript|how can I delete an item from a JavaScript list?
How do I create a virtual environment in Python?|creating python virtual environments|what's the command to create a virtual environment in Python?
What does the yield keyword do in Python?|explain the yield keyword in Python|in Python, what is the yield keyword doing?
How do I list all running docker containers?|which command lists all running docker containers|list of all docker containers that are running, how?
How do I rename a branch in git?|renaming a git branch|what's the command to rename a branch in git?
How do I squash commits in git?|squashing git commits, how?|what is the way to squash commits with git
How do I check if a string contains a substring in Java?|in Java, how can I check whether a string contains a substring?|check for a substring in a Java string
What is the difference between TCP and UDP?|how does TCP differ from UDP?|TCP vs UDP differences
What is a foreign key in SQL?|explain what a foreign key is in SQL|in SQL, what does foreign key mean?
How do I join two tables in SQL?|joining two tables in SQL|in sql, what's the way to join two tables?
How do I reverse a string in Go?|reversing a string in Go|in Go, how can a string be reversed?
How do I center text vertically in HTML?|centering text vertically with HTML|in HTML how can I vertically center text
How do I cook rice in a pot?|what's the way to cook rice in a pot|cooking rice in a pot
How long should I boil eggs?|for how long do I boil eggs?|how long do eggs need to be boiled?
How do I make pancakes?|what's the recipe for pancakes|I'd like to make pancakes, how?
Can I freeze cooked pasta?|is it possible to freeze cooked pasta?|may cooked pasta be frozen?
What can I substitute for buttermilk?|what is a substitute for buttermilk|which substitutes are there for buttermilk?
How do I sharpen a kitchen knife?|sharpening kitchen knives|what is the best way to sharpen a kitchen knife?
How do I store fresh basil?|what's the best way to store fresh basil?|storing fresh basil
At what temperature should I roast potatoes?|what temperature should potatoes be roasted at?|roasting potatoes: which temperature?
How do I apply for a passport?|what is the procedure to apply for a passport|I want to apply for a passport
Do I need a visa for Vietnam?|is a visa needed for Vietnam?|is a visa required for Vietnam
How do I get from the airport to the city centre in Rome?|what's the way to get from the airport to the city centre in Rome|getting from the airport to Rome's city centre
What is the currency of Thailand?|which currency does Thailand have?|Thailand's currency is what?
How much should I tip in the USA?|what is the amount to tip in the USA?|how much does one tip in the USA
How long is the flight from London to Tokyo?|what's the flight time from London to Tokyo|how long does a flight take from London to Tokyo?
What are the symptoms of the flu?|which symptoms does the flu have?|list the symptoms of flu
How can I lower my blood pressure?|what should I do to reduce my blood pressure|ways to lower blood pressure
How much water should I drink per day?|how much water per day should one drink?|what amount of water should I drink daily?
How many hours of sleep do adults need?|what is the number of hours adults need to sleep?|adults need how many hours of sleep?
Is yoga good for back pain?|does yoga help with back pain?|is doing yoga good for back pain
How do I treat a sunburn?|what is the treatment for sunburn|treating sunburn
What is compound interest?|explain compound interest|what does compound interest mean?
How do I improve my credit score?|ways of improving my credit score|what can I do to improve my credit score?
How do I file a tax return?|filing a tax return|what's the procedure for filing a tax return?
What is an index fund?|can you explain what an index fund is|index fund: what does that mean?
How much should I save for retirement?|what amount should I save for retirement?|how much do I need to save for retirement?
Why is the sky blue?|what's the reason that the sky is blue?|explain why the sky is blue
What causes earthquakes?|what is the cause of earthquakes?|why do earthquakes occur?
How far is the Moon from the Earth?|what is the distance from the Earth to the Moon?|distance between Earth and Moon
How big is Jupiter?|what is the size of Jupiter?|what size does Jupiter have?
Who discovered penicillin?|by whom was penicillin discovered?|who was the discoverer of penicillin?
When did World War II end?|in which year did World War II end?|what was the year World War II ended?
Who was the first president of the United States?|which person was the first president of the United States?|name the first president of the United States
When was the Eiffel Tower built?|what year was the Eiffel Tower built?|when did they build the Eiffel Tower?
Why did the Roman Empire fall?|what are the reasons the Roman Empire fell?|what was the cause of the fall of the Roman Empire?
Who painted the Mona Lisa?|by whom was the Mona Lisa painted?|the Mona Lisa was painted by whom?
What is the plural of octopus?|octopus plural form?|what's the plural form of octopus
How do you spell necessary?|what's the correct spelling of necessary|spelling of necessary
When do I use a semicolon?|when should a semicolon be used?|when is a semicolon to be used?
What is a synonym for happy?|give me a synonym for happy|another word for happy
How do I say thank you in Japanese?|what is thank you in Japanese?|translate thank you into Japanese
How do I repot an orchid?|repotting an orchid|what is the right way to repot an orchid?
When should I prune roses?|when is the best time to prune roses?|when do roses have to be pruned?
Why are the leaves of my plant turning yellow?|what's the reason my plant's leaves turn yellow?|my plant's leaves are turning yellow, why?
How often should I water a cactus?|how often does a cactus need to be watered?|how often do I have to water my cactus?
How do I get rid of aphids?|what can I do to get rid of aphids?|how can I remove aphids?
How do I jump start a car?|jump starting a car|what are the steps to jump start a car?
Why does my engine overheat?|what is the reason for my engine overheating?|my engine overheats, why?
How often should I rotate my tires?|how often do tires need to be rotated?|how often do I have to rotate the tires?
How do I check the tire pressure?|checking tire pressure|what is the way to check the pressure of tires?
How do I replace a car battery?|replacing a car battery|what's the procedure for replacing the battery of a car?
How do I write a business plan?|writing a business plan|what is the best way to write a business plan?
How do I ask for a raise?|what's the best way to ask for a raise?|asking for a raise at work
What should I wear to a job interview?|which clothes should I wear to a job interview?|what to wear for a job interview
How do I prepare for an exam?|preparing for an exam|what should I do to prepare for an exam?
How do I learn to play the guitar?|learning to play guitar|I want to learn to play the guitar. How?
How can I get better at chess?|what can I do to get better at chess?|how do I improve at chess?
What are the rules of poker?|explain the rules of poker|which rules does poker have?
How do I unclog a drain?|unclogging a drain|what's a way to unclog the drain?
How do I remove a wine stain from a carpet?|removing wine stains from carpets|how can I clean a wine stain from my carpet?
How do I paint a wall?|painting a wall|what's the right way to paint walls?
"""


def between(kind: str, template: str, fillers: str) -> list[tuple[str, str, str]]:
    """One pair for each two fillers that follow each other."""
    return [(kind, template.format(a), template.format(b)) for a, b in pairwise(fillers.split("|"))]


def flips(kind: str, template: str, pairs: str) -> list[tuple[str, str, str]]:
    """The same two words the other way round."""
    found = []
    for pair in pairs.split("|"):
        a, b = pair.split("/")
        found.append((kind, template.format(a, b), template.format(b, a)))
    return found


def both(kind: str, *pairs: str) -> list[tuple[str, str, str]]:
    return [(kind, *pair.split("|")) for pair in pairs]  # type: ignore[misc]  # each pair has two


def negatives() -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    verbs = "bring food into the museum|park on this street|swim after a meal|wear jeans to the opera|drive with glasses|vote at seventeen"
    for verb in verbs.split("|"):
        rows += both("negation", f"Can I {verb}?|Can I not {verb}?", f"Why should I {verb}?|Why shouldn't I {verb}?",
                     f"Am I allowed to {verb}?|Am I never allowed to {verb}?")  # fmt: skip
    for thing in "gluten|a contract|a prescription|insurance|a degree|an invitation|cookies|an account|yeast|a permit|Wi-Fi|a helmet".split(
        "|"
    ):
        rows += both("negation", f"How does it work with {thing}?|How does it work without {thing}?")
    for state in "safe|legal|healthy|reversible|available|comfortable|stable|common|reliable|necessary|visible|fair|certain|known".split(
        "|"
    ):
        prefix = {"legal": "il", "reversible": "ir", "visible": "in"}.get(state, "un")
        rows += both("negation", f"Is the procedure {state}?|Is the procedure {prefix}{state}?")
    for person, verb in (("vegans", "eat honey"), ("cats", "see colours"), ("penguins", "fly"), ("babies", "drink water"),
                         ("tourists", "work here"), ("students", "apply"), ("dogs", "eat grapes"), ("minors", "sign")):  # fmt: skip
        rows += both("negation", f"Can {person} {verb}?|Can't {person} {verb}?", f"Which {person} {verb}?|Which {person} do not {verb}?",
                     f"Do {person} {verb}?|Do no {person} {verb}?")  # fmt: skip
    for thing in "the lamp|the screen|the alarm|the heater|the fan|the server|the printer|the pump".split("|"):
        rows += both("negation", f"What happens when {thing} is running?|What happens when {thing} is not running?",
                     f"Why does {thing} work?|Why doesn't {thing} work?")  # fmt: skip

    opposites = ("increase/decrease raise/lower open/close lock/unlock mount/unmount encrypt/decrypt import/export upload/download "
                 "enable/disable activate/deactivate show/hide mute/unmute expand/collapse archive/restore start/stop").split()  # fmt: skip
    objects = ["the window", "this volume", "my files", "the data"]
    for place, pair in enumerate(opposites):
        a, b = pair.split("/")
        for obj in objects[: 2 + place % 2]:
            rows += both("antonym", f"How do I {a} {obj}?|How do I {b} {obj}?")
        rows += both("antonym", f"Which button will {a} it?|Which button will {b} it?")
    for template, pair in (
        ("What is the {0} lake in Europe?", "largest/smallest"), ("What is the {0} mountain in Spain?", "highest/lowest"),
        ("Which is the {0} river in Asia?", "longest/shortest"), ("Which phone is the {0}?", "cheapest/most expensive"),
        ("Who is the {0} player in the team?", "oldest/youngest"), ("Which month is the {0} in Cairo?", "hottest/coldest"),
        ("What is the {0} train to Milan?", "first/last"), ("Which bank has the {0} fees?", "highest/lowest"),
        ("What are the {0} of solar panels?", "advantages/disadvantages"), ("What are the {0} of remote work?", "benefits/drawbacks"),
        ("Does caffeine {0} heart rate?", "increase/decrease"), ("Does exercise {0} appetite?", "increase/reduce"),
        ("Should I stretch {0} running?", "before/after"), ("Do I add milk {0} the tea?", "before/after"),
        ("Is the pool {0}?", "indoors/outdoors"), ("Where do I {0} the bus?", "enter/exit"),
        ("When does the train {0}?", "arrive/depart"), ("How do I {0} money at an ATM?", "deposit/withdraw"),
        ("How do I {0} a house?", "buy/sell"), ("How do I {0} weight?", "gain/lose"),
        ("What is the {0} temperature for yeast?", "maximum/minimum"), ("Do sales go {0} in winter?", "up/down"),
        ("Is the glass {0}?", "full/empty"), ("Is this answer {0}?", "true/false"), ("Are they {0}?", "married/single"),
        ("How do I sort in {0} order?", "ascending/descending"), ("How do I write {0} letters?", "uppercase/lowercase"),
        ("What does a {0} number mean?", "positive/negative"), ("Do plants grow faster in {0} soil?", "wet/dry"),
        ("Is a {0} stroller better?", "heavy/light"), ("Does it work {0}?", "online/offline"),
        ("What is {0} revenue?", "gross/net"), ("Is the game {0} for children?", "easy/hard"),
        ("How do I {0} from a mailing list?", "subscribe/unsubscribe"), ("Can I {0} the meeting?", "join/leave"),
        ("Why do prices {0}?", "rise/fall"), ("Is the museum {0} today?", "open/closed"),
        ("What makes dough {0}?", "soft/hard"), ("Why is the soup {0}?", "hot/cold"), ("How do I make the text {0}?", "bigger/smaller"),
    ):  # fmt: skip
        a, b = pair.split("/")
        rows += both("antonym", f"{template.format(a)}|{template.format(b)}")

    for template, fillers in (
        ("How do I cook dinner for {0} guests?", "4|6|10|12|40"), ("What is {0} times seven?", "12|13|14|21|112"),
        ("How many seconds are in {0} hours?", "2|3|12|24"), ("What are good gifts for a {0}-year-old?", "3|5|8|13"),
        ("Who was president in {0}?", "1960|1962|1980|1988|2008"), ("What's new in Python {0}?", "3.9|3.10|3.11|3.12"),
        ("What happened in {0}?", "1848|1849|1914|1918|1989"), ("Which laptop is best under {0} euros?", "500|600|1000|1500"),
        ("What is {0}% of 80?", "5|10|12|15|20"), ("How long do I bake a {0} pound turkey?", "8|10|12|18"),
        ("Is {0} mg of caffeine too much?", "200|300|400|600"), ("Write a poem of {0} lines.", "4|6|8|14"),
        ("What is the square root of {0}?", "49|64|81|144|441"), ("Summarise chapter {0}.", "1|2|3|11|12"),
        ("Explain article {0} of the constitution.", "5|6|15|50"), ("What does HTTP status {0} mean?", "301|302|401|403|500"),
        ("Is a score of {0} good?", "70|75|80|90"), ("How do I divide by {0}?", "two|three|four|eight"),
        ("How much is {0} dollars in pesos?", "20|50|200|500"), ("What can I do in Lisbon in {0} days?", "two|three|four|five"),
        ("Which port is {0}?", "22|80|443|8080"), ("What is the {0} law of thermodynamics?", "first|second|third"),
        ("Name {0} kinds of pasta.", "three|five|seven|ten"), ("Is iPhone {0} waterproof?", "11|12|13|14"),
        ("What does error {0} mean?", "404|405|503|1045"), ("Is {0} a prime number?", "91|97|101|111"),
        ("When is the {0} bus?", "8:15|8:45|9:15|18:15"), ("How tall is a building with {0} floors?", "10|12|20|21"),
        ("What is the rule of {0}?", "70|72|78"), ("Is version {0} stable?", "1.2|1.3|2.0|2.1"),
    ):  # fmt: skip
        rows += between("number", template, fillers)

    for template, fillers in (
        ("How heavy is the parcel in {0}?", "kilograms|pounds|ounces|grams"), ("How long is a marathon in {0}?", "miles|kilometers|meters|feet"),
        ("What is room temperature in {0}?", "Celsius|Fahrenheit|Kelvin"), ("How much is the rent per {0}?", "week|month|year|day"),
        ("How tall is he in {0}?", "feet|inches|centimeters|meters"), ("How much milk is that in {0}?", "cups|liters|gallons|milliliters"),
        ("How large is the file in {0}?", "megabytes|gigabytes|kilobytes|bytes"), ("What does it cost in {0}?", "euros|dollars|pounds|yen"),
        ("How fast is it in {0}?", "mph|kmh"), ("How old is the moon in {0}?", "years|days|weeks"),
        ("How often per {0} should I train?", "week|month|day"), ("How many steps is a {0}?", "mile|kilometer|yard"),
        ("What is the speed limit in {0} per hour?", "miles|kilometers"), ("How long is the movie in {0}?", "minutes|hours|seconds"),
        ("How deep is the lake in {0}?", "meters|feet|yards"), ("What is my salary per {0}?", "hour|month|year|week"),
        ("How much sugar is it in {0}?", "grams|teaspoons|tablespoons|ounces"), ("How much power is that in {0}?", "watts|kilowatts"),
        ("How big is the garden in {0}?", "acres|hectares"), ("How much data do I use per {0}?", "day|month|week|hour"),
        ("Is it 5 {0} away?", "miles|km|minutes|hours"), ("Does it weigh 20 {0}?", "kg|pounds|grams|tons"),
        ("Is 30 {0} enough?", "minutes|seconds|days|euros"), ("Can I add 2 {0} of salt?", "teaspoons|tablespoons|cups|grams"),
        ("Is 100 {0} hot?", "celsius|fahrenheit"), ("How much is 10 {0} worth?", "dollars|euros|yen|francs"),
        ("How many {0} are in a year?", "weeks|days|months|hours"), ("How high is it in {0}?", "meters|feet|yards|miles"),
    ):  # fmt: skip
        rows += between("unit", template, fillers)

    for template, fillers in (
        ("What is the weather in {0}?", "Paris|London|Madrid|Vienna|Oslo"), ("what is the weather in {0}?", "paris|london|madrid|vienna"),
        ("Who founded {0}?", "Apple|Google|Amazon|Tesla|Intel"), ("who founded {0}", "apple|google|amazon|tesla"),
        ("What did {0} write?", "Goethe|Schiller|Shakespeare|Dante"), ("How do I learn {0}?", "Spanish|French|Russian|Korean|Arabic"),
        ("how do i learn {0}?", "spanish|french|russian|korean"), ("How do I write a loop in {0}?", "Rust|Kotlin|Swift|Perl|Scala"),
        ("how do i write a loop in {0}?", "rust|kotlin|swift|perl"), ("What is the capital of {0}?", "Peru|Chile|Kenya|Ghana|Nepal"),
        ("Can I take {0} while pregnant?", "ibuprofen|aspirin|paracetamol|codeine"), ("Where was {0} born?", "Mozart|Beethoven|Bach|Haydn"),
        ("How do I install {0}?", "PostgreSQL|MySQL|Redis|MongoDB"), ("how do i install {0} on ubuntu?", "nginx|apache|docker|git"),
        ("How do I uninstall {0} from my phone?", "Instagram|Facebook|TikTok|WhatsApp"), ("Is {0} a good place to live?", "Texas|Ohio|Utah|Maine"),
        ("How tall is {0}?", "Messi|Ronaldo|Neymar|Mbappe"), ("What did {0} discover?", "Newton|Einstein|Curie|Darwin|Pasteur"),
        ("What is the population of {0}?", "India|China|Brazil|Nigeria"), ("What is {0} used for?", "React|Angular|Vue|Svelte"),
        ("Where can I watch {0}?", "Titanic|Avatar|Inception|Gladiator"), ("Who plays {0}?", "Batman|Superman|Spiderman|Thor"),
        ("What language is spoken in {0}?", "Austria|Belgium|Finland|Hungary"), ("Is {0} open source?", "Chrome|Firefox|Safari|Opera"),
        ("When was {0} founded?", "Toyota|Honda|Ford|Fiat"), ("How do I cancel {0}?", "Netflix|Spotify|Hulu|Audible"),
        ("Does {0} have rings?", "Saturn|Uranus|Mars|Venus"), ("What is the GDP of {0}?", "Japan|Germany|Italy|Mexico"),
    ):  # fmt: skip
        rows += between("name", template, fillers)

    for template, pairs in (
        ("How do I convert {0} to {1}?", "PDF/Word|CSV/JSON|meters/feet|pounds/dollars|MP4/MP3|XML/YAML"),
        ("how do i convert {0} to {1}", "pdf/word|csv/json|kilograms/pounds|dollars/euros"),
        ("Translate this from {0} to {1}.", "German/English|French/Dutch|Polish/Czech|Greek/Latin"),
        ("Is {0} bigger than {1}?", "Mars/Venus|France/Spain|an elephant/a whale|Texas/Alaska"),
        ("Is {0} heavier than {1}?", "gold/lead|milk/water|iron/copper|oil/honey"),
        ("Did {0} defeat {1}?", "Athens/Sparta|Rome/Carthage|Napoleon/Wellington|Nadal/Federer"),
        ("Did the {0} chase the {1}?", "dog/cat|wolf/fox|lion/hyena|boy/thief"),
        ("How do I get from {0} to {1}?", "Lyon/Nice|Boston/Chicago|Osaka/Kyoto|Leeds/York"),
        ("Which trains go from {0} to {1}?", "Basel/Zurich|Turin/Milan|Porto/Lisbon"),
        ("How do I move files from {0} to {1}?", "Windows/Linux|Dropbox/iCloud|Android/iPhone|my phone/my laptop"),
        ("Was {0} born before {1}?", "Kant/Hegel|Plato/Aristotle|Monet/Manet|Bach/Vivaldi"),
        ("Does {0} come after {1}?", "spring/winter|lunch/breakfast|May/June|algebra/calculus"),
        ("Can {0} be made from {1}?", "glass/sand|paper/wood|ethanol/corn|plastic/oil"),
        ("Is {0} faster than {1}?", "Go/Rust|a horse/a dog|light/sound|C/Java"),
        ("Should I apply {0} before {1}?", "sunscreen/makeup|primer/paint|toner/serum"),
        ("What is {0} minus {1}?", "10/4|25/7|100/30|12/5"), ("What is {0} divided by {1}?", "10/2|9/3|100/25|8/4"),
        ("Does {0} cause {1}?", "stress/insomnia|obesity/diabetes|poverty/crime|anxiety/insomnia"),
        ("Did {0} invade {1}?", "Germany/Poland|Japan/China|Persia/Greece|France/Russia"),
        ("Does {0} own {1}?", "Facebook/Instagram|Google/YouTube|Disney/Pixar|Microsoft/GitHub"),
        ("Did {0} teach {1}?", "Socrates/Plato|Haydn/Beethoven|Freud/Jung|Aristotle/Alexander"),
        ("How do I change my flight from {0} to {1}?", "Monday/Friday|May/June|morning/evening"),
        ("Is {0} above {1}?", "the kitchen/the garage|Denmark/Germany|the ozone layer/the clouds"),
        ("Can a {0} eat a {1}?", "snake/frog|spider/wasp|shark/seal|cat/rat"),
        ("Is {0} older than {1}?", "Rome/Athens|Linux/Windows|Harvard/Yale|Islam/Christianity"),
        ("Did {0} succeed {1}?", "Trump/Obama|Stalin/Lenin|Nixon/Johnson"),
    ):  # fmt: skip
        rows += flips("order", template, pairs)

    for template, fillers in (
        ("What does {0} do?", "os.listdir()|os.walk()|os.scandir()|os.rmdir()"), ("Explain {0}.", "git stash pop|git stash drop|git stash list|git stash clear"),
        ("What does `{0}` print?", "a + b|a - b|a * b|a / b"), ("What is the flag {0} for?", "-r|-f|-v|-x"),
        ("What is in {0}?", "package.json|tsconfig.json|setup.py|pyproject.toml"), ("How do I use {0}?", "useEffect|useState|useMemo|useRef"),
        ("What is {0} in C?", "malloc|calloc|realloc|sizeof()"), ("When do I use {0}?", "Array.map|Array.filter|Array.reduce|Array.some"),
        ("What does {0} return?", "str.find()|str.index()|str.strip()|str.split()"), ("Is {0} thread-safe?", "HashMap.get|HashMap.put|ArrayList.add|ArrayList.get"),
        ("What is the difference in {0}?", "a == b|a != b|a >= b|a <= b"), ("Why is {0} null?", "user.name|user.email|user.address|user.phone"),
        ("How do I mock {0}?", "requests.get|requests.post|requests.put|requests.delete"), ("What does {0} mean in bash?", "$1|$2|$@|$?"),
        ("What does ls {0} show?", "-l|-a|-h|-t"), ("What does chmod {0} do?", "644|755|777|600"),
        ("Where is {0}?", "/etc/hosts|/etc/passwd|/var/log|/usr/bin"), ("How do I call {0}?", "get_user|set_user|get_users|del_user"),
        ("What does docker run {0} do?", "--rm|--detach|--name|--volume"), ("How does {0} work?", "np.sum()|np.mean()|np.std()|np.median()"),
        ("What does {0} match?", "[a-z]|[A-Z]|[0-9]|[^a-z]"), ("What type is {0}?", "int64|int32|float32|uint8"),
        ("How do I raise {0}?", "ValueError|TypeError|KeyError|IndexError"), ("What is {0} in CSS?", "margin-top|margin-left|padding-top|padding-left"),
        ("What does SELECT {0} do?", "COUNT(*)|SUM(x)|MAX(x)|MIN(x)"), ("What does kubectl {0} do?", "get pods|get nodes|delete pod|describe pod"),
        ("Which version is {0}?", "torch==2.1|torch==2.2|torch==2.3"), ("What is port {0}?", "127.0.0.1:80|127.0.0.1:81|127.0.0.1:8080"),
    ):  # fmt: skip
        rows += between("code", template, fillers)

    for template, fillers in (
        ("Is the pharmacy open on {0}?", "Sunday|Monday|Saturday|Easter Sunday"), ("What events are there in {0}?", "March|April|May|October"),
        ("What was the weather like {0}?", "yesterday|last week|last month|last year"), ("Who won the match {0}?", "today|yesterday|last night|on Friday"),
        ("What is the menu for {0}?", "today|tomorrow|Thursday|Friday"), ("What is the exchange rate {0}?", "today|yesterday|last Friday"),
        ("Is it a holiday {0}?", "today|tomorrow|next Monday|next Friday"), ("What did stocks do in {0}?", "2007|2008|2020|2021"),
        ("When is Easter {0}?", "this year|next year|in 2030|in 2031"), ("Do you have a room in {0}?", "June|July|August|September"),
        ("What are the deals in the {0}?", "morning|evening|afternoon"), ("Where do I ski in {0}?", "December|January|March|April"),
        ("Which films come out {0}?", "this week|next week|this month|next month"), ("What was invented in the {0}?", "1920s|1930s|1950s|1990s"),
        ("Can you remind me {0}?", "in an hour|in two hours|tomorrow|on Tuesday"), ("How was the economy {0} years ago?", "five|ten|twenty|fifty"),
        ("Is there school on {0}?", "Monday|Tuesday|Wednesday|Friday"), ("What grows in {0}?", "spring|summer|autumn|winter"),
        ("Was the café busy on {0}?", "Saturday|Sunday|Thursday"), ("Is the rent due on the {0}?", "1st|3rd|15th|5th"),
        ("What is on TV at {0}?", "noon|midnight|8 pm|9 pm"), ("What is the tide on {0}?", "May 4|May 5|June 4|June 5"),
        ("Was there frost in {0}?", "November|February|January"), ("Is the bridge closed until {0}?", "Tuesday|Thursday|Sunday"),
        ("Who was king in the {0} century?", "15th|16th|17th|18th"), ("What is my shift {0}?", "tonight|tomorrow|on Sunday"),
        ("Does the sale end {0}?", "today|tomorrow|this weekend|on Monday"), ("Is the office open at {0}?", "7 am|7 pm|8 am|8 pm"),
    ):  # fmt: skip
        rows += between("date", template, fillers)

    for template, fillers in (
        ("How do I make {0} soup?", "tomato|onion|pumpkin|lentil|mushroom"), ("How do I {0} a carburettor?", "clean|repair|replace|remove|adjust"),
        ("How do I fix a broken {0}?", "window|chair|zipper|phone|fence"), ("What is the price of {0}?", "gold|silver|copper|wheat|oil"),
        ("How do I teach my dog to {0}?", "sit|roll|bark|swim|fetch"), ("Why does my {0} hurt?", "knee|back|neck|elbow|shoulder"),
        ("How do I get {0} out of a shirt?", "ink|blood|wine|oil|mud"), ("What do {0} eat?", "owls|bats|turtles|squirrels|bees"),
        ("How do I draw a {0}?", "horse|rose|face|tree|dragon"), ("Which {0} should I buy?", "phone|camera|bike|tent|mattress"),
        ("How do I apply for a {0}?", "visa|loan|job|scholarship|permit"), ("How is {0} made?", "cheese|paper|glass|rubber|soap"),
        ("How do I grow {0}?", "basil|garlic|carrots|roses|mint"), ("What is the best {0} for beginners?", "guitar|yoga|camera|telescope|drone"),
        ("How do I treat {0}?", "acne|burns|gout|asthma|eczema"), ("How do I write a {0}?", "poem|novel|speech|letter|review"),
        ("How do I reset my {0}?", "watch|printer|modem|tablet|thermostat"), ("What is {0} pressure?", "blood|tire|water|air|peer"),
        ("How do I fold a {0}?", "shirt|napkin|towel|map|sheet"), ("Why is my {0} slow?", "laptop|internet|phone|car|browser"),
        ("How do I {0} a turkey?", "carve|brine|roast|thaw|stuff"), ("Where can I {0} a kayak?", "rent|buy|store|launch|paddle"),
        ("How do I {0} my passport?", "renew|replace|photograph|sign"), ("Is {0} good for hair?", "honey|vinegar|biotin|coconut|aloe"),
        ("How do I change the {0} in my car?", "battery|bulb|filter|wiper|fuse"), ("What do I need for a {0} trip?", "camping|business|ski|fishing"),
        ("Can I {0} with a cold?", "exercise|fly|swim|work|dive"), ("How do I {0} a business?", "start|register|value|insure|sue"),
    ):  # fmt: skip
        rows += between("topic", template, fillers)
    return rows


def main() -> None:
    rows = []
    for line in PARAPHRASES.strip().splitlines():
        first, *others = line.split("|")
        rows += [{"a": first, "b": other, "same": True, "kind": "paraphrase"} for other in others]
    rows += [{"a": a, "b": b, "same": False, "kind": kind} for kind, a, b in negatives()]
    written = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (HERE / "heldout.jsonl").write_text(written + (HERE / "independent-heldout.jsonl").read_text())


if __name__ == "__main__":
    main()
