"""Names of days for people, in Chinese and English."""

from datetime import date

WEEKDAYS_ZH = "一二三四五六日"
WEEKDAYS_EN = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS_EN = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_NEAR = {-1: ("昨天", "Yesterday"), 0: ("今天", "Today"), 1: ("明天", "Tomorrow"), 2: ("后天", "")}


def day_name(day: date, today: date, language: str) -> str:
    """`明天（11月26日 周四）`, `Tomorrow (Thu 26 Nov)`; the year when it is another one."""
    near = _NEAR.get((day - today).days, ("", ""))
    if language == "zh":
        year = f"{day.year}年" if day.year != today.year else ""
        name = f"{year}{day.month}月{day.day}日 周{WEEKDAYS_ZH[day.weekday()]}"
        return f"{near[0]}（{name}）" if near[0] else name
    year = f" {day.year}" if day.year != today.year else ""
    name = f"{WEEKDAYS_EN[day.weekday()]} {day.day} {_MONTHS_EN[day.month - 1]}{year}"
    return f"{near[1]} ({name})" if near[1] else name


def short_day(day: date, language: str) -> str:
    """`11月26日`, `26 Nov`."""
    if language == "zh":
        return f"{day.month}月{day.day}日"
    return f"{day.day} {_MONTHS_EN[day.month - 1]}"
