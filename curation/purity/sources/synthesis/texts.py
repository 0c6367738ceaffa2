"""Texts to speak and to sing: words of the first article of the Universal Declaration of Human Rights, by language.

The words are drawn at random into sentences with commas, questions and numbers: the sound of a language, not a sense.
The Declaration is in the public domain. English has templates besides.
"""

from __future__ import annotations

from collections.abc import Mapping

from .signals import Rng

ARTICLE: Mapping[str, str] = {
    "en-us": "all human beings are born free and equal in dignity and rights they are endowed with reason and conscience and should act towards one another in a spirit of brotherhood",
    "en-gb": "everyone has the right to life liberty and security of person no one shall be held in slavery all are equal before the law and are entitled without any discrimination to equal protection",
    "de": "alle Menschen sind frei und gleich an Würde und Rechten geboren sie sind mit Vernunft und Gewissen begabt und sollen einander im Geiste der Brüderlichkeit begegnen",
    "fr-fr": "tous les êtres humains naissent libres et égaux en dignité et en droits ils sont doués de raison et de conscience et doivent agir les uns envers les autres dans un esprit de fraternité",
    "es": "todos los seres humanos nacen libres e iguales en dignidad y derechos y dotados como están de razón y conciencia deben comportarse fraternalmente los unos con los otros",
    "it": "tutti gli esseri umani nascono liberi ed eguali in dignità e diritti essi sono dotati di ragione e di coscienza e devono agire gli uni verso gli altri in spirito di fratellanza",
    "pt-br": "todos os seres humanos nascem livres e iguais em dignidade e em direitos dotados de razão e de consciência devem agir uns para com os outros em espírito de fraternidade",
    "nl": "alle mensen worden vrij en gelijk in waardigheid en rechten geboren zij zijn begiftigd met verstand en geweten en behoren zich jegens elkander in een geest van broederschap te gedragen",
    "sv": "alla människor är födda fria och lika i värde och rättigheter de är utrustade med förnuft och samvete och bör handla gentemot varandra i en anda av broderskap",
    "da": "alle mennesker er født frie og lige i værdighed og rettigheder de er udstyret med fornuft og samvittighed og de bør handle mod hverandre i en broderskabets ånd",
    "nb": "alle mennesker er født frie og med samme menneskeverd og menneskerettigheter de er utstyrt med fornuft og samvittighet og bør handle mot hverandre i brorskapets ånd",
    "fi": "kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan heille on annettu järki ja omatunto ja heidän on toimittava toisiaan kohtaan veljeyden hengessä",
    "et": "kõik inimesed sünnivad vabadena ja võrdsetena oma väärikuselt ja õigustelt neile on antud mõistus ja südametunnistus ja nende suhtumist üksteisesse peab kandma vendluse vaim",
    "hu": "minden emberi lény szabadon születik és egyenlő méltósága és joga van az emberek ésszel és lelkiismerettel bírván egymással szemben testvéri szellemben kell hogy viseltessenek",
    "pl": "wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw są oni obdarzeni rozumem i sumieniem i powinni postępować wobec innych w duchu braterstwa",
    "cs": "všichni lidé se rodí svobodní a sobě rovní co do důstojnosti a práv jsou nadáni rozumem a svědomím a mají spolu jednat v duchu bratrství",
    "sk": "všetci ľudia sa rodia slobodní a sebe rovní čo sa týka ich dôstojnosti a práv sú obdarení rozumom a svedomím a majú navzájom jednať v bratskom duchu",
    "sl": "vsi ljudje se rodijo svobodni in imajo enako dostojanstvo in enake pravice obdarjeni so z razumom in vestjo in bi morali ravnati drug z drugim kakor bratje",
    "hr": "sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima ona su obdarena razumom i svijesti i trebaju jedno prema drugome postupati u duhu bratstva",
    "ro": "toate ființele umane se nasc libere și egale în demnitate și în drepturi ele sunt înzestrate cu rațiune și conștiință și trebuie să se comporte unele față de altele în spiritul fraternității",
    "bg": "всички хора се раждат свободни и равни по достойнство и права те са надарени с разум и съвест и следва да се отнасят помежду си в дух на братство",
    "ru": "все люди рождаются свободными и равными в своем достоинстве и правах они наделены разумом и совестью и должны поступать в отношении друг друга в духе братства",
    "uk": "всі люди народжуються вільними і рівними у своїй гідності та правах вони наділені розумом і совістю і повинні діяти у відношенні один до одного в дусі братерства",
    "el": "όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα είναι προικισμένοι με λογική και συνείδηση και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης",
    "tr": "bütün insanlar hür haysiyet ve haklar bakımından eşit doğarlar akıl ve vicdana sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler",
    "lt": "visi žmonės gimsta laisvi ir lygūs savo orumu ir teisėmis jiems suteiktas protas ir sąžinė ir jie turi elgtis vienas kito atžvilgiu kaip broliai",
    "lv": "visi cilvēki piedzimst brīvi un vienlīdzīgi savā pašcieņā un tiesībās viņi ir apveltīti ar saprātu un sirdsapziņu un viņiem jāizturas citam pret citu brālības garā",
    "ca": "tots els éssers humans neixen lliures i iguals en dignitat i en drets són dotats de raó i de consciència i han de comportar-se fraternalment els uns amb els altres",
    "cy": "genir pawb yn rhydd ac yn gydradd â'i gilydd mewn urddas a hawliau fe'u cynysgaeddir â rheswm a chydwybod a dylai pawb ymddwyn y naill at y llall mewn ysbryd cymodlon",
    "id": "semua orang dilahirkan merdeka dan mempunyai martabat dan hak yang sama mereka dikaruniai akal dan hati nurani dan hendaknya bergaul satu sama lain dalam semangat persaudaraan",
    "vi": "tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền mọi con người đều được tạo hoá ban cho lý trí và lương tâm và cần phải đối xử với nhau trong tình bằng hữu",
    "sw": "watu wote wamezaliwa huru hadhi na haki zao ni sawa wote wamejaliwa akili na dhamiri hivyo yapasa watendeane kindugu",
    "eo": "ĉiuj homoj estas denaske liberaj kaj egalaj laŭ digno kaj rajtoj ili posedas racion kaj konsciencon kaj devus konduti unu al alia en spirito de frateco",
    "la": "omnes homines dignitate et iure liberi et pares nascuntur rationis et conscientiae participes sunt quibus inter se concordiae studio est agendum",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त है और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए",
    "ar": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم بعضا بروح الإخاء",
    "fa": "تمام افراد بشر آزاد به دنیا می آیند و از لحاظ حیثیت و حقوق با هم برابرند همه دارای عقل و وجدان هستند و باید نسبت به یکدیگر با روح برادری رفتار کنند",
    "cmn": "人人 生而 自由 在 尊严 和 权利 上 一律 平等 他们 赋有 理性 和 良心 并应 以 兄弟 关系 的 精神 相对待",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다 인간은 천부적으로 이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다",
}  # fmt: skip
"""Words by the language's name in eSpeak NG."""

SYLLABLES = ("la", "na", "da", "doo", "ah", "oh", "mm", "hey", "yeah", "lo", "ma", "ooh", "ra", "no", "li")
"""Syllables of songs without words."""

_PLACES = "the harbour|a small village|the old station|our garden|the second floor|the north wall|that long valley|the market".split(
    "|"
)
_PEOPLE = "my brother|the captain|every visitor|the young teacher|nobody I know|an engineer|her neighbour|the whole crew".split(
    "|"
)
_VERBS = "walked slowly past|never talked about|is waiting beside|looked carefully at|has painted|remembers|will meet us near|ran towards".split(
    "|"
)
_TAILS = "before the rain began|on a Thursday morning|without saying a word|and then turned around|because it was late|as far as I can tell|just like last year|when the lights went out".split(
    "|"
)
TEMPLATES = (
    "{who} {did} {where} {tail}.",
    "Do you think {who} {did} {where}?",
    "Well, {tail}, {who} {did} {where}.",
    "Listen: {who} {did} {where}, {tail}.",
    "There were {number} of them, and {who} {did} {where} {tail}.",
    "No! Not {where}. {who} {did} it {tail}.",
)


def sentence(rng: Rng, language: str) -> str:
    """A sentence of 5 to 16 words of a language."""
    if language.startswith("en") and rng.random() < 0.7:
        text = str(rng.choice(TEMPLATES)).format(
            who=rng.choice(_PEOPLE),
            did=rng.choice(_VERBS),
            where=rng.choice(_PLACES),
            tail=rng.choice(_TAILS),
            number=rng.integers(2, 900),
        )
        return text[0].upper() + text[1:]
    words = ARTICLE[language].split()
    count = int(rng.integers(5, 17))
    if rng.random() < 0.4:
        first = int(rng.integers(0, len(words)))
        chosen = (words * 2)[first : first + count]
    else:
        chosen = [str(word) for word in rng.choice(words, count)]
    if rng.random() < 0.25:
        chosen.insert(int(rng.integers(1, count)), str(rng.integers(2, 3000)))
    if rng.random() < 0.4:
        chosen[int(rng.integers(1, len(chosen) - 1))] += ","
    return " ".join(chosen).capitalize() + str(rng.choice([".", ".", ".", "?", "!"]))


def paragraph(rng: Rng, language: str, sentences: int) -> str:
    """A number of sentences of a language."""
    return " ".join(sentence(rng, language) for _ in range(sentences))


def lyrics(rng: Rng, language: str, words: int) -> str:
    """Words to sing: of the language, or one time in four syllables without sense."""
    if rng.random() < 0.25:
        pool = rng.choice(SYLLABLES, int(rng.integers(1, 4)))
        return " ".join(str(rng.choice(pool)) for _ in range(words))
    return " ".join(str(word) for word in rng.choice(ARTICLE[language].split(), words))
