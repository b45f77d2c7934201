// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Money} from "../src/Money.sol";
import {Split} from "../src/Split.sol";
import {BlockingToken, FeeToken, MarketFixture, ReentrantToken} from "./MarketFixture.sol";

contract SplitTest is MarketFixture {
    address private immutable _ada = address(0xADA);
    address private immutable _bob = address(0xB0B);

    function _pay(uint256 amount) private {
        vm.prank(buyer);
        split.pay(KEY, token, amount);
    }

    function _credit(address account) private view returns (uint256) {
        return split.creditOf(token, account);
    }

    function test_a_price_is_split_by_shares_and_the_rest_goes_to_the_treasury() public {
        vm.expectEmit(address(split));
        emit Split.SharesSet(KEY, _shares(_ada, 300_000, _bob, 250_001));
        _setShares(KEY, _shares(_ada, 300_000, _bob, 250_001));
        vm.expectEmit(address(split));
        emit Split.Paid(KEY, address(token), buyer, 1001, 451);
        _pay(1001);
        vm.assertEq(_credit(_ada), 300);
        vm.assertEq(_credit(_bob), 250);
        vm.assertEq(_credit(treasury), 451);
        vm.assertEq(split.totalCredits(token), 1001);
        vm.assertEq(token.balanceOf(address(split)), 1001);
        vm.assertEq(token.balanceOf(buyer), MONEY - 1001);
        Split.Share[] memory shares = split.sharesOf(KEY);
        vm.assertEq(shares.length, 2);
        vm.assertEq(shares[1].account, _bob);
        vm.assertEq(shares[1].ppm, 250_001);
    }

    function test_any_price_is_split_exactly(uint96 price, uint32[16] memory ppms, uint256 count) public {
        uint256 amount = _within(price, 1, MONEY);
        Split.Share[] memory shares = new Split.Share[](_within(count, 0, 16));
        uint256 left = 1_000_000;
        for (uint256 i = 0; i < shares.length; ++i) {
            uint32 ppm = uint32(_within(ppms[i], 1, left - (shares.length - 1 - i)));
            shares[i] = Split.Share(address(uint160(1000 + i)), ppm);
            left -= ppm;
        }
        _setShares(KEY, shares);
        _pay(amount);
        uint256 sum = _credit(treasury);
        for (uint256 i = 0; i < shares.length; ++i) {
            uint256 part = _credit(shares[i].account);
            vm.assertEq(part, amount * shares[i].ppm / 1_000_000);
            sum += part;
        }
        vm.assertEq(sum, amount);
        vm.assertEq(split.totalCredits(token), amount);
        vm.assertEq(token.balanceOf(address(split)), amount);
    }

    function test_a_key_without_shares_pays_the_treasury_alone() public {
        _pay(1001);
        vm.assertEq(_credit(treasury), 1001);
    }

    function test_shares_of_the_whole_leave_the_treasury_only_dust() public {
        _setShares(KEY, _shares(_ada, 333_333, _bob, 666_667));
        _pay(3e6);
        vm.assertEq(_credit(treasury), 0);
        _pay(1);
        vm.assertEq(_credit(treasury), 1);
    }

    function test_shares_are_replaced_and_credits_stay() public {
        _setShares(KEY, _shares(_ada, 500_000, _bob, 500_000));
        _pay(10);
        _setShares(KEY, new Split.Share[](0));
        _pay(10);
        vm.assertEq(split.sharesOf(KEY).length, 0);
        vm.assertEq(_credit(_ada), 5);
        vm.assertEq(_credit(treasury), 10);
    }

    function _refuseShares(bytes32 key, Split.Share[] memory shares, bytes memory reason) private {
        vm.expectRevert(reason);
        _setShares(key, shares);
        vm.assertEq(split.sharesOf(key).length, 0);
    }

    function _many(uint256 count) private pure returns (Split.Share[] memory shares) {
        shares = new Split.Share[](count);
        for (uint256 i = 0; i < count; ++i) {
            shares[i] = Split.Share(address(uint160(i + 1)), 1);
        }
    }

    function test_sixteen_accounts_share_and_no_more() public {
        _setShares(KEY, _many(16));
        vm.assertEq(split.sharesOf(KEY).length, 16);
        _refuseShares("other", _many(17), abi.encodeWithSelector(Split.TooManyShares.selector, 17, 16));
    }

    function test_shares_ascend_without_a_repetition() public {
        Split.Share[] memory shares = _many(2);
        shares[1].account = shares[0].account;
        _refuseShares(KEY, shares, abi.encodeWithSelector(Split.ShareInvalid.selector, 1, address(1), 1));
        shares = _many(2);
        shares[1].ppm = 0;
        _refuseShares(KEY, shares, abi.encodeWithSelector(Split.ShareInvalid.selector, 1, address(2), 0));
        shares = _many(2);
        shares[0].account = address(0);
        _refuseShares(KEY, shares, abi.encodeWithSelector(Split.ShareInvalid.selector, 0, address(0), 1));
    }

    function test_shares_are_at_most_the_whole() public {
        _refuseShares(
            KEY,
            _shares(_ada, 500_001, _bob, 500_000),
            abi.encodeWithSelector(Split.SharesExceedWhole.selector, 1_000_001, 1_000_000)
        );
    }

    function test_shares_are_of_something() public {
        _refuseShares(0, _many(1), abi.encodeWithSelector(Split.ZeroHash.selector));
    }

    function test_only_the_owner_sets_shares_and_tokens() public {
        vm.expectRevert(_notOwner(stranger));
        vm.prank(stranger);
        split.setShares(KEY, _many(1));
        vm.expectRevert(_notOwner(stranger));
        vm.prank(stranger);
        split.setToken(token, false);
    }

    function test_a_split_has_a_treasury() public {
        vm.expectRevert(Split.ZeroAddress.selector);
        new Split(owner, address(0), token);
        vm.assertEq(split.treasury(), treasury);
        vm.assertEq(split.owner(), owner);
    }

    function test_a_split_may_open_one_token_at_its_deployment() public {
        FeeToken first = new FeeToken(address(this));
        Split made = new Split(owner, treasury, first);
        vm.assertTrue(made.isOpen(first));
        vm.assertFalse(made.isOpen(token));
        vm.assertFalse(split.isOpen(first));
    }

    function test_a_token_that_is_not_listed_is_refused() public {
        FeeToken other = new FeeToken(address(this));
        vm.assertFalse(split.isOpen(other));
        vm.expectRevert(abi.encodeWithSelector(Split.TokenNotAllowed.selector, address(other)));
        split.pay(KEY, other, 1);
        vm.expectRevert(abi.encodeWithSelector(Split.TokenNotAllowed.selector, address(other)));
        split.credit(_ada, other, 1);
    }

    function test_a_token_that_is_ending_takes_no_new_business_but_pays_what_is_under_way() public {
        vm.assertTrue(split.isOpen(token));
        vm.expectEmit(address(split));
        emit Split.TokenSet(address(token), Split.TokenState.Ending);
        vm.prank(owner);
        split.setToken(token, false);
        vm.assertFalse(split.isOpen(token));
        _pay(10);
        vm.assertEq(_credit(treasury), 10);
        vm.prank(owner);
        split.setToken(token, true);
        vm.assertTrue(split.isOpen(token));
    }

    function test_only_a_token_that_was_open_can_end() public {
        vm.expectRevert(abi.encodeWithSelector(Split.TokenNotOpen.selector, address(1)));
        vm.prank(owner);
        split.setToken(FeeToken(address(1)), false);
        vm.expectRevert(Split.ZeroAddress.selector);
        vm.prank(owner);
        split.setToken(FeeToken(address(0)), true);
    }

    function test_nothing_is_no_price() public {
        vm.expectRevert(Split.ZeroAmount.selector);
        _pay(0);
        vm.expectRevert(Split.ZeroAmount.selector);
        split.credit(_ada, token, 0);
    }

    function test_a_credit_goes_to_one_account() public {
        vm.expectEmit(address(split));
        emit Split.Credited(_ada, address(token), buyer, 7);
        vm.prank(buyer);
        split.credit(_ada, token, 7);
        vm.assertEq(_credit(_ada), 7);
        vm.assertEq(split.totalCredits(token), 7);
        vm.assertEq(token.balanceOf(address(split)), 7);
        vm.expectRevert(Split.ZeroAddress.selector);
        vm.prank(buyer);
        split.credit(address(0), token, 7);
    }

    function test_a_credit_is_drawn_by_anyone_to_its_account_once() public {
        _setShares(KEY, _shares(_ada, 500_000, _bob, 500_000));
        _pay(10);
        vm.expectEmit(address(split));
        emit Split.Drawn(_ada, address(token), 5);
        vm.prank(stranger);
        split.withdraw(_ada, token);
        vm.assertEq(token.balanceOf(_ada), 5);
        vm.assertEq(_credit(_ada), 0);
        vm.assertEq(split.totalCredits(token), 5);
        vm.expectRevert(abi.encodeWithSelector(Split.NothingToDraw.selector, _ada, address(token)));
        split.withdraw(_ada, token);
    }

    function test_a_receiver_that_cannot_be_paid_stops_no_sale() public {
        BlockingToken blocking = new BlockingToken(address(this));
        _setToken(blocking);
        _setShares(KEY, _shares(_ada, 500_000, _bob, 500_000));
        blocking.setBlocked(_ada, true);
        _pay(10);
        split.withdraw(_bob, token);
        vm.assertEq(token.balanceOf(_bob), 5);
        vm.expectRevert(abi.encodeWithSelector(BlockingToken.Blocked.selector, _ada));
        split.withdraw(_ada, token);
        vm.assertEq(_credit(_ada), 5);
        blocking.setBlocked(_ada, false);
        split.withdraw(_ada, token);
        vm.assertEq(token.balanceOf(_ada), 5);
    }

    function test_a_token_that_takes_a_fee_is_refused() public {
        _setToken(new FeeToken(address(this)));
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, 9, 10));
        _pay(10);
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, 9, 10));
        vm.prank(buyer);
        split.credit(_ada, token, 10);
        vm.assertEq(split.totalCredits(token), 0);
    }

    function test_a_hostile_token_cannot_come_back() public {
        ReentrantToken hostile = new ReentrantToken(address(this));
        _setToken(hostile);
        _pay(10);
        bytes memory draw = abi.encodeCall(split.withdraw, (treasury, token));
        hostile.arm(address(split), draw);
        split.withdraw(treasury, token);
        vm.assertFalse(hostile.reentered());
        vm.assertEq(keccak256(hostile.refusal()), REENTERED);
        vm.assertEq(token.balanceOf(treasury), 10);
        bytes[2] memory outer =
            [abi.encodeCall(split.pay, (KEY, token, 5)), abi.encodeCall(split.credit, (stranger, token, 5))];
        for (uint256 i = 0; i < outer.length; ++i) {
            hostile.arm(address(split), abi.encodeCall(split.pay, (KEY, token, 1)));
            vm.prank(buyer);
            (bool done,) = address(split).call(outer[i]);
            vm.assertTrue(done);
            vm.assertFalse(hostile.reentered());
            vm.assertEq(keccak256(hostile.refusal()), REENTERED);
        }
        vm.assertEq(split.totalCredits(token), 10);
    }
}
