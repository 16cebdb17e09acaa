// SPDX-License-Identifier: GPL-2.0-or-later
// Standard containers, strings and streams, built with -O2 -fomit-frame-pointer: operator new lies below the
// standard library, which keeps no frame pointers either. Allocates until its standard input ends.

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <poll.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <vector>

namespace
{

struct shape {
	virtual ~shape() = default;
	virtual std::string name(int i) const
	{
		return "a name that is too long to be stored in the string itself " +
		       std::to_string(i);
	}
};

struct circle : shape {
	std::string name(int i) const override
	{
		std::ostringstream out;
		out << "circle number " << i << " of many, " << shape::name(i);
		return out.str();
	}
};

void fill(std::map<std::string, std::vector<int>> &map, const shape &s, int rounds)
{
	for (int i = 0; i < rounds; i++)
		map[s.name(i % 50)].push_back(i);
}

int thrower(int i)
{
	auto p = std::make_unique<std::string>(100, 'x');
	if (i % 2)
		throw std::runtime_error("an error whose text does not fit " + *p);
	return i;
}

void round(int n)
{
	std::map<std::string, std::vector<int>> map;
	std::unordered_map<int, std::shared_ptr<shape>> shapes;
	std::vector<std::string> names;

	fill(map, circle(), 50);
	for (int i = 0; i < 20; i++)
		shapes[i * n] = std::make_shared<circle>();
	std::transform(map.begin(), map.end(), std::back_inserter(names),
		[](const auto &pair) { return pair.first + "!"; });
	std::sort(names.begin(), names.end(), [](const auto &a, const auto &b) {
		return std::string(a.rbegin(), a.rend()) < std::string(b.rbegin(), b.rend());
	});
	std::function<int(int)> deeper = [&](int left) {
		std::string s(64, 'y');
		return left ? deeper(left - 1) + static_cast<int>(s.size()) : 0;
	};
	deeper(n % 30);
	try {
		thrower(n);
	} catch (const std::exception &e) {
		names.emplace_back(e.what());
	}
}

} // namespace

int main()
{
	pollfd in = { STDIN_FILENO, POLLIN, 0 };
	char byte;

	std::printf("ready %d\n", static_cast<int>(getpid()));
	std::fflush(stdout);
	for (int n = 0;; n++) {
		round(n);
		if (n % 20 == 0)
			std::thread([n] { round(n); }).join();
		usleep(1000);
		if (poll(&in, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0)
			return 0;
	}
}
