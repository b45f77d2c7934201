// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Money} from "../src/Money.sol";
import {Operated} from "../src/Operated.sol";
import {Owned} from "../src/Owned.sol";
import {Treasury} from "../src/Treasury.sol";
import {DaoFixture} from "./DaoFixture.sol";
import {FeeToken} from "./FeeToken.sol";

contract TreasuryTest is DaoFixture {
    function test_it_knows_its_dao() public view {
        vm.assertEq(treasury.owner(), address(timelock));
        vm.assertEq(address(treasury.registry()), address(registry));
        vm.assertEq(address(treasury.token()), address(token));
        vm.assertEq(address(treasury.rewards()), address(rewards));
    }

    function test_the_pool_of_a_turn_is_funded_and_added_to() public {
        vm.expectEmit(address(treasury));
        emit Treasury.PoolFunded(1, 50e6);
        _fund(1, 50e6);
        vm.assertEq(treasury.poolOf(1), 50e6);
        vm.assertEq(treasury.balance(), 999_950e6);
        vm.assertEq(rewards.totalFunded(), 50e6);
        vm.assertEq(token.balanceOf(address(rewards)), 50e6);
        vm.assertEq(token.allowance(address(treasury), address(rewards)), 0);
        _fund(1, 2e6);
        vm.assertEq(treasury.poolOf(1), 52e6);
        _fund(2, 7e6);
        vm.assertEq(rewards.totalFunded(), 59e6);
        vm.assertEq(token.balanceOf(address(rewards)), 59e6);
    }

    function test_an_empty_pool_is_not_funded() public {
        vm.expectRevert(Treasury.ZeroAmount.selector);
        _fund(1, 0);
    }

    function test_a_pool_beyond_the_balance_is_not_funded() public {
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientBalance.selector);
        _fund(1, 1_000_001e6);
        vm.assertEq(treasury.poolOf(1), 0);
        vm.assertEq(rewards.totalFunded(), 0);
    }

    function test_money_that_takes_a_fee_is_refused() public {
        FeeToken fee = new FeeToken();
        token = fee;
        _launch(WINDOW, ROOT_BOND);
        fee.drip(address(treasury), 100);
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, 49, 50));
        _fund(1, 50);
        vm.assertEq(fee.balanceOf(address(treasury)), 100);
    }

    function test_a_vote_pays_with_a_reason() public {
        vm.expectEmit(address(treasury));
        emit Treasury.Paid(bob, 4e6, "audit");
        vm.prank(address(timelock));
        treasury.pay(bob, 4e6, "audit");
        vm.assertEq(token.balanceOf(bob), 1_000_004e6);
        vm.assertEq(treasury.balance(), 999_996e6);
        vm.expectRevert(Treasury.ZeroAmount.selector);
        vm.prank(address(timelock));
        treasury.pay(bob, 0, "audit");
    }

    function test_only_the_owner_pays_and_only_the_operator_funds() public {
        address[2] memory others = [stranger, operator];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Owned.NotOwner.selector, others[i], address(timelock)));
            vm.prank(others[i]);
            treasury.pay(stranger, 1, 0);
        }
        others[1] = address(timelock);
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Operated.NotOperator.selector, others[i], operator));
            vm.prank(others[i]);
            treasury.fundPool(1, 1);
        }
    }
}
