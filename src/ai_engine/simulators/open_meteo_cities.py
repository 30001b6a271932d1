"""The cities that the weather simulator knows: GeoNames ids, places and usual temperatures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class City:
    id: int
    en: str
    zh: str
    region_en: str
    region_zh: str
    country_code: str
    country_en: str
    country_zh: str
    latitude: float
    longitude: float
    timezone: str
    population: int
    winter: float
    """Mean temperature of the coldest month, °C."""
    summer: float
    """Mean temperature of the warmest month, °C."""
    capital: bool = False

    def matches(self, name: str) -> bool:
        """As the real geocoder: nothing below 2 characters, exact at 2, fuzzy from 3 on."""
        wanted = name.strip().casefold()
        names = (self.en.casefold(), self.zh.casefold())
        if len(wanted) < 3:
            return len(wanted) == 2 and wanted in names
        return any(one.startswith(wanted) for one in names)


def _china(
    number: int, en: str, zh: str, region: tuple[str, str], at: tuple[float, float],
    people: int, means: tuple[float, float],
) -> City:  # fmt: skip
    return City(
        number, en, zh, *region, "CN", "China", "中国", *at, "Asia/Shanghai", people, *means
    )


_US = ("US", "United States", "美国")
CITIES = (
    City(1816670, "Beijing", "北京", "Beijing", "北京市", "CN", "China", "中国",
         39.9075, 116.39723, "Asia/Shanghai", 18_960_744, -3, 27, True),
    _china(1796236, "Shanghai", "上海", ("Shanghai", "上海市"), (31.22222, 121.45806),
           22_315_474, (5, 29)),
    _china(1809858, "Guangzhou", "广州", ("Guangdong", "广东"), (23.11667, 113.25),
           16_096_724, (14, 29)),
    _china(1795565, "Shenzhen", "深圳", ("Guangdong", "广东"), (22.54554, 114.0683),
           17_494_398, (16, 29)),
    _china(1808926, "Hangzhou", "杭州", ("Zhejiang", "浙江"), (30.29365, 120.16142),
           9_236_032, (5, 29)),
    _china(1815286, "Chengdu", "成都", ("Sichuan", "四川"), (30.66667, 104.06667),
           13_568_357, (6, 26)),
    _china(1791247, "Wuhan", "武汉", ("Hubei", "湖北"), (30.58333, 114.26667),
           10_392_693, (4, 29)),
    _china(1790630, "Xi'an", "西安", ("Shaanxi", "陕西"), (34.25833, 108.92861),
           12_183_280, (1, 27)),
    _china(1799962, "Nanjing", "南京", ("Jiangsu", "江苏"), (32.06167, 118.77778),
           7_165_292, (3, 28)),
    _china(1814906, "Chongqing", "重庆", ("Chongqing", "重庆市"), (29.56026, 106.55771),
           7_457_600, (8, 29)),
    City(1819729, "Hong Kong", "香港", "", "", "HK", "Hong Kong", "香港",
         22.27832, 114.17469, "Asia/Hong_Kong", 7_491_609, 16, 29, True),
    _china(1792947, "Tianjin", "天津", ("Tianjin", "天津市"), (39.14222, 117.17667),
           11_090_314, (-3, 27)),
    City(1850147, "Tokyo", "东京", "Tokyo", "东京都", "JP", "Japan", "日本",
         35.6895, 139.69171, "Asia/Tokyo", 9_733_276, 5, 27, True),
    City(1880252, "Singapore", "新加坡", "", "", "SG", "Singapore", "新加坡",
         1.28967, 103.85007, "Asia/Singapore", 5_638_700, 27, 28, True),
    City(2643743, "London", "伦敦", "England", "英格兰", "GB", "United Kingdom", "英国",
         51.50853, -0.12574, "Europe/London", 8_961_989, 5, 19, True),
    City(2988507, "Paris", "巴黎", "Île-de-France", "法兰西岛", "FR", "France", "法国",
         48.85341, 2.3488, "Europe/Paris", 2_138_551, 5, 21, True),
    City(4717560, "Paris", "巴黎", "Texas", "得克萨斯州", *_US,
         33.66094, -95.55551, "America/Chicago", 24_782, 6, 28),
    City(2950159, "Berlin", "柏林", "Berlin", "柏林", "DE", "Germany", "德国",
         52.52437, 13.41053, "Europe/Berlin", 3_426_354, 1, 20, True),
    City(5128581, "New York", "纽约", "New York", "纽约州", *_US,
         40.71427, -74.00597, "America/New_York", 8_804_190, 1, 25),
    City(5391959, "San Francisco", "旧金山", "California", "加利福尼亚州", *_US,
         37.77493, -122.41942, "America/Los_Angeles", 873_965, 11, 16),
    City(2147714, "Sydney", "悉尼", "New South Wales", "新南威尔士州", "AU", "Australia",
         "澳大利亚", -33.86785, 151.20732, "Australia/Sydney", 4_627_345, 13, 23),
    City(4409896, "Springfield", "斯普林菲尔德", "Missouri", "密苏里州", *_US,
         37.21533, -93.29824, "America/Chicago", 169_176, 1, 26),
    City(4951788, "Springfield", "斯普林菲尔德", "Massachusetts", "马萨诸塞州", *_US,
         42.10148, -72.58981, "America/New_York", 155_929, -3, 23),
    City(4250542, "Springfield", "斯普林菲尔德", "Illinois", "伊利诺伊州", *_US,
         39.80172, -89.64371, "America/Chicago", 116_565, -3, 25),
)  # fmt: skip
