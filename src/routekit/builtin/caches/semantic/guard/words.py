"""Words that the guard of the semantic cache knows: which say the same, the opposite, or nothing.

Written by hand for questions that people put to assistants. Everything is lower case; English only. In texts of groups
a semicolon ends a group.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _groups(text: str) -> list[list[str]]:
    return [group.split() for group in text.split(";")]


def _mapped(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split())}


SILENT = _words(
    """
    a able about actually advice allowed also am among an and answer anybody anyone approach are as ask at be been
    being between but by can correct correctly could curious currently d describe did do does doing done easily easy
    exactly explain find for from get getting give go going got guide had has have having he hello help here hey hi
    how i i'd if in instruction into is it its just kindly know let like ll m many may me mean meaning method might
    mine moment much must my myself need now of off ok okay on one onto or our ours out over own people per person
    please possible procedure process proper properly question quick quickly re really right s say see shall she
    should show simple simply so some somebody someone something step such tell than thank thanks that the their
    them then there these they thing this those tip to today's too tutorial understand up us use using ve versus
    very via vs want was way we were what when where which who whom whose why will with wonder wondering would
    would'd you your yours
    """
)
"""Words that do not change what is asked for: questions are compared without them."""

LIGHT = _words(
    """
    calculate city command company compute country date forget forgot formula instruction person player program
    recipe run running steps take team tips together tool town true word work year
    """
)
"""Words that one question may have and the other not, where that is all that they differ in."""

NEGATORS = _words(
    "cannot except excluding lack neither never no nobody non none nor not nothing nowhere unless without"
)

COUNTED = _mapped(
    """
    zero=0 two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9 ten=10 eleven=11 twelve=12 thirteen=13
    fourteen=14 fifteen=15 sixteen=16 seventeen=17 eighteen=18 nineteen=19 twenty=20 thirty=30 forty=40 fifty=50
    sixty=60 seventy=70 eighty=80 ninety=90 hundred=100 thousand=1000 million=1000000 billion=1000000000 dozen=12
    half=1/2 double=2x twice=2x triple=3x first=#1 second=#2 third=#3 fourth=#4 fifth=#5 sixth=#6 seventh=#7
    eighth=#8 ninth=#9 tenth=#10 1st=#1 2nd=#2 3rd=#3 4th=#4 5th=#5 6th=#6 7th=#7 8th=#8 9th=#9 10th=#10 once=1x
    """
)
"""Number words as figures; "#1" is an ordinal, "2x" a multiple."""

EXACT = {
    word: group[0]
    for group in _groups(
        """
    km kilometer kilometers kilometre kilometres kms; mile miles mi; meter meters metre metres; cm centimeter
    centimeters centimetre centimetres; mm millimeter millimeters; inch inches; foot feet ft; yard yards; kg
    kilogram kilograms kilo kilos kgs; gram grams gramme grammes; mg milligram milligrams; ounce ounces oz; pound
    pounds lb lbs; tonne tonnes ton tons; liter liters litre litres; ml milliliter milliliters; gallon gallons; pint
    pints; cup cups; tablespoon tablespoons tbsp; teaspoon teaspoons tsp; celsius centigrade; fahrenheit; kelvin;
    percent % percentage; dollar dollars $ usd bucks; euro euros € eur; gbp £ sterling; yen ¥ jpy; rupee rupees ₹
    inr; franc francs chf; peso pesos; cent cents; bitcoin btc; second seconds secs sec; minute minutes mins min;
    hour hours hourly hrs hr; day days daily; week weeks weekly; fortnight; month months monthly; quarter quarterly;
    year years yearly annual annually annum; decade decades; century centuries; byte bytes; kb kilobyte kilobytes;
    mb megabyte megabytes; gb gigabyte gigabytes; tb terabyte terabytes; bit bits; watt watts; kw kilowatt
    kilowatts; volt volts; amp amps ampere amperes; degree degrees; acre acres; hectare hectares; mph; kmh kph;
    calorie calories kcal; january jan; february feb; march; april apr; june jun; july jul; august aug; september
    sep sept; october oct; november nov; december dec; monday mondays; tuesday tuesdays; wednesday wednesdays;
    thursday thursdays; friday fridays; saturday saturdays; sunday sundays; weekend weekends; weekday weekdays;
    today; yesterday; tomorrow; tonight; morning mornings; afternoon afternoons; evening evenings; night nights;
    noon; midnight; spring; summer; autumn fall; winter; next upcoming; previous prior; last latest; ago; north
    northern; south southern; east eastern; west western; left; before; after; above; below; under; until; during;
    while; more; less; fewer; most; least; only; all every; any; each; both; either; always; sometimes; often; same;
    different; again; still; already; yet
        """
    )
    for word in group
}
"""Units, times, directions and quantifiers: either both questions have them, or they are not the same."""

IRREGULAR = {
    word: group[0]
    for group in _groups(
        """
    win won winner winners winning; beat beaten beats beating; write wrote written; buy bought; sell sold; take took
    taken; give gave given; go went gone; eat ate eaten; drink drank drunk; know knew known; grow grew
    grown; throw threw thrown; fly flew flown flight; draw drew drawn; break broke broken; speak spoke spoken; steal
    stole stolen; freeze froze frozen; choose chose chosen; drive drove driven; ride rode ridden; rise rose risen;
    fall fell fallen; get got gotten; forget forgot forgotten; hide hid hidden; begin began begun; sing sang sung;
    ring rang rung; swim swam swum; run ran; come came; become became; hold held; keep kept; leave left;
    lose lost; make made; mean meant; meet met; pay paid; say said; send sent; sit sat; sleep slept; spend spent;
    stand stood; teach taught; tell told; think thought; understand understood; build built; catch caught; bring
    brought; fight fought; feel felt; hear heard; lead led; lend lent; shoot shot; spell spelt; wear wore worn; tear
    tore torn; bite bit bitten; die died death; born birth; child children; man men; woman women; foot
    feet; tooth teeth; mouse mice; person people; healthy health healthily; safe safely safety; long length; wide
    width; high height; deep depth; cancel cancellation cancelling canceling cancelled; refund refunds; recharge
    charging charge; leak leaky leaking leaks; sick sickness; install installation installing installed; invent
    invention inventor
        """
    )
    for word in group
}
"""Forms that a stemmer does not bring together."""

SYNONYMS = _groups(
    """
    buy purchase acquire; cancel terminate discontinue; cancel end; stop end quit; fix repair mend; fix solve
    resolve troubleshoot; delete remove erase; change modify edit alter; change update; make create build; make
    prepare cook; bake make; cook prepare; begin start commence; finish complete; send mail ship; ship deliver;
    shipping delivery; show display; pick choose select; reset recover restore; big large huge; small little tiny;
    quick fast rapid speedy; cheap inexpensive affordable; expensive costly pricey; good healthy; correct right; car
    automobile vehicle; doctor physician; photo picture image photograph; film movie; phone smartphone cellphone
    mobile; tv television; fridge refrigerator; sofa couch; flat apartment; holiday vacation; lift elevator; faucet
    tap; trash garbage rubbish bin; folder directory; app application; ad advertisement advert; exam examination
    test; bike bicycle; plane airplane aircraft aeroplane; shop store; job position; salary pay wage; child kid; mum
    mom mother; dad father; cv resume; gas petrol; zip postcode; email e-mail mail; error issue problem bug;
    kindprice price cost pricing charge fee; pay cost; kindage age; kinddistance distance; kindsize size; kindwhen
    date time year; kindwhere location place address; kindwhere city country; kindwhy reason cause; kindcount number
    amount count quantity; kindduration time duration length; kindheight height tall; kindweight weight weigh;
    kindspeed speed; born birth birthday birthdate; die death; invent inventor invention; write author; win winner
    victory; lose loser; differ difference distinction; similar similarity; inside indoors indoor; outside outdoors
    outdoor; enable activate on; disable deactivate off; log sign login signin; logout signout; combine merge join;
    split divide separate; calculate compute work; convert transform turn; convert conversion; translate
    translation; refund reimbursement reimburse; return send; track trace; move transfer; move relocate; copy
    duplicate; contact reach; customer client; support service; employee worker staff; safe harmless; dangerous
    unsafe harmful; hurt harm damage; sick ill; illness disease sickness; medicine medication drug; cure treat
    treatment remedy; symptom sign; eat consume; drink consume; meal dish; recipe make; rotten spoiled; leak drip;
    leaky leaking dripping leak; broken faulty defective; work function; occur happen; permit allow; forbidden
    prohibited banned; required necessary needed; need require; obtain receive get; increase raise boost; enlarge
    larger bigger increase; larger bigger; decrease reduce lower; shrink reduce smaller; improve enhance better;
    avoid prevent; keep retain; store keep save; preserve keep; grow cultivate; plant grow; clean wash; stain spot;
    build construct; house home; garden yard; road street; trip journey travel; visit travel; hotel accommodation;
    ticket fare; luggage baggage; book reserve reservation booking; reservation booking; invoice bill receipt;
    account profile; password passcode; username login; settings preferences options; window pane; screen display
    monitor; laptop notebook computer; computer pc; internet web online; website site webpage; wifi wi-fi wireless;
    code program script; function method; run execute; launch start open; close shut; array list; string text;
    iterate loop; substitute replacement replace alternative; best top ideal optimal; famous well-known; population
    inhabitants; currency money; war conflict; speak talk; language tongue; learn study; teach instruct; teacher
    instructor; student pupil; mean definition define; spell spelling; sentence phrase; attorney lawyer solicitor;
    loan credit; invest investment; share stock; save saving; earn make; quit resign leave; boss manager supervisor;
    hire recruit employ; fire dismiss; meeting appointment; delay postpone reschedule; old outdated; new recent;
    last recent; modern contemporary; expire expiry expiration; warranty guarantee; exchange swap; discount coupon
    voucher; free complimentary; gift present; wrap package; parcel package; missing lost; steal theft stolen; block
    ban; freeze hang; crash fail; slow sluggish; loud noisy; quiet silent; charge recharge; heat warm; cool chill;
    mix stir blend; chop cut slice; defrost thaw; vegetable veggie; beef steak; chicken poultry; bp pressure; fever
    temperature; headache migraine; flu influenza; vaccine vaccination shot jab; exercise workout train; lose shed;
    sleep rest; tired fatigued exhausted; stress anxiety; sad depressed; happy glad; sun solar; moon lunar; universe
    cosmos; speed velocity; human person; dog canine; cat feline; bug insect; snake serpent; tire tyre; motor
    engine; fuel gas petrol; license licence; insurance cover; accident crash; fine penalty; park parking; station
    stop; undo revert; rollback revert; install set setup; configure set setup; connect link; sync synchronize; type
    write; search find look; sort order; reverse invert; remove uninstall; upgrade update; compress zip; extract
    unzip; duplicate duplicates; row line; column field; chart graph plot; formula equation; sheet spreadsheet;
    presentation slideshow; document doc file; header heading; font typeface; insert add; add include; attach
    attachment; most recent last; recent latest last
    """
)
"""Groups of words that say the same in a question. "kindage" and the like stand for kinds of question."""

OPPOSITES = _groups(
    """
    increase decrease reduce lower; raise lower reduce drop; enable disable; activate deactivate; open close; start
    stop end finish; begin end finish; buy sell rent lease; import export; upload download; install uninstall
    remove; add remove subtract delete; create delete destroy; insert delete remove; first last; next previous;
    before after; early late; earliest latest; old new young; oldest newest youngest; hot cold; warm cool; big
    small; large small; larger smaller; bigger smaller; high low; higher lower; highest lowest; long short; longer
    shorter; longest shortest; fast slow; faster slower; fastest slowest; cheap expensive; cheaper dearer; cheapest
    expensive; good bad; better worse; best worst; safe dangerous unsafe; healthy unhealthy; indoor outdoor; indoors
    outdoors; inside outside; win lose; beat lose; winner loser; love hate; borrow lend; give take receive; send
    receive; push pull; lock unlock; connect disconnect; login logout; encrypt decrypt; encode decode; compress
    decompress extract; zip unzip; merge split; join leave; combine separate; ascending descending; asc desc;
    maximum minimum; max min; maximize minimize; upper lower; uppercase lowercase; up down; above below; over under;
    top bottom; front back rear; left right; north south; east west; arrive depart leave; arrival departure; enter
    exit; accept reject refuse decline; allow forbid prohibit ban; allowed forbidden prohibited; legal illegal; true
    false; positive negative; public private; male female; man woman; men women; boy girl; mother father; brother
    sister; son daughter; husband wife; king queen; born die dead; birth death; alive dead; full empty; heavy light;
    light dark; wet dry; clean dirty; raw cooked; fresh frozen stale; freeze thaw; boil freeze; boiling freezing
    melting; freezing melting; sunrise sunset; day night; morning evening; breakfast lunch dinner; gain lose; profit
    loss; income expense; debit credit; deposit withdraw; deposits withdrawals; save spend; asset liability; lend
    borrow; employer employee; teacher student; doctor patient; landlord tenant; parent child; ancestor descendant;
    read write; input output; get set; show hide; expand collapse; minimize maximize; follow unfollow; subscribe
    unsubscribe; mute unmute; block unblock; pin unpin; mount unmount; wired wireless; online offline; manual
    automatic; manually automatically; internal external; local remote; client server; sync async; synchronous
    asynchronous; static dynamic; mutable immutable; serialize deserialize; push pop; enqueue dequeue; append
    prepend; inner outer; left right; shallow deep; major minor; senior junior; single married double; domestic
    international; inbound outbound; arriving departing; advantage disadvantage; pro con; benefit drawback risk;
    strength weakness; cause effect prevent; symptom cause; increase shrink; grow shrink; strengthen weaken; tighten
    loosen; inflate deflate; attach detach; assemble disassemble; similarity difference; same different; include
    exclude; including excluding; active inactive passive; visible invisible hidden; even odd; prime composite;
    numerator denominator; vertical horizontal; vertically horizontally; parallel perpendicular serial; hire fire;
    promote demote; sender recipient receiver; buyer seller; supply demand; import export; renew cancel; keep
    discard; remember forget; forget recall; hot iced; sweet sour salty; soft hard; strong weak; thick thin; rich
    poor; easy hard difficult; simple complex; optional required mandatory; free paid; beginner advanced expert;
    vegan vegetarian; tea coffee; beer wine; salt sugar pepper; gas electric; windows linux; android iphone ios; mac
    windows; debit credit; checking savings; term whole; gross net; before-tax after-tax; primary secondary; undo
    redo; copy cut paste; screenshot recording; front-end back-end; frontend backend; row column; width height;
    length width; horizontal vertical; inner outer; ingress egress; request response; header footer body; comment
    uncomment; wrap unwrap; freeze unfreeze; stalactite stalagmite; virus bacteria; artery vein; herbivore
    carnivore; solar lunar; acid base; proton electron neutron; tire oil; oven microwave; bake boil fry grill roast
    steam freeze; wash dry iron; sow harvest plant prune; walk drive fly cycle bus train; rent buy; hotel hostel;
    visa passport
    """
)
"""Words of which one question must not have one and the other question another."""

OPPOSITE_PAIRS = frozenset((a, b) for group in OPPOSITES for a in group for b in group if a != b)

DIRECTIONS = _mapped("""
    from=from to=to into=to onto=to in=in than=than by=by before=before after=after over=over under=under
    against=against with=with without=without as=as of=of for=for on=on at=at between=and and=and or=and vs=and
    versus=and
""")
"""What a word's place says of its part: these before it give it a role."""

TURNING = frozenset({"from", "to", "than", "by", "before", "after", "over", "under", "against"})
"""Roles that turn a question round where two words swap them."""
